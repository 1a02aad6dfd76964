import { randomUUID } from 'node:crypto';
import type { InternalAxiosRequestConfig } from 'axios';
import type { AccessToken } from '../core/access-token.js';
import { targetOf } from './allowed-origins.js';
import { guardRedirects } from './redirect-guard.js';
import { SentRequest, type Attempt, type ProofMaker } from './sent-request.js';

type Config = InternalAxiosRequestConfig;

/** Puts the attempt's token on a request, and with it whatever proves that it is ours. */
export function authorize(config: Config, attempt: Attempt): Config | Promise<Config> {
  const { api, token } = attempt;
  config.headers['Authorization'] = token.authorization;
  if (api.tlsAgent) config.httpsAgent ??= api.tlsAgent;
  if (config.data instanceof FormData) fixBoundary(config);
  SentRequest.on(config, attempt);
  guardRedirects(config, attempt);
  return api.dpop === undefined ? config : addProof(config, api.dpop, token);
}

/** A form is to be the same, byte by byte, when it is sent again; fetch adapters choose the boundary themselves. */
function fixBoundary({ adapter, headers }: Config): void {
  const mayChoose = adapter === undefined || adapter === 'http' || Array.isArray(adapter);
  if (mayChoose && !headers.hasContentType())
    headers.setContentType(`multipart/form-data; boundary=${randomUUID()}`);
}

async function addProof(config: Config, dpop: ProofMaker, token: AccessToken): Promise<Config> {
  config.headers.set('DPoP', await dpop.proof(config.method ?? 'get', targetOf(config)!, token));
  return config;
}
