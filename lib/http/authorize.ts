import { randomUUID } from 'node:crypto';
import type { AxiosRequestTransformer, InternalAxiosRequestConfig } from 'axios';
import type { AccessToken } from '../core/access-token.js';
import { OriginNotAllowedError } from '../core/errors.js';
import { targetOf } from './allowed-origins.js';
import { guardRedirects } from './redirect-guard.js';
import {
  SentRequest,
  type ApiClient,
  type Attempt,
  type ProofMaker,
  type TokenChoice,
} from './sent-request.js';

type Config = InternalAxiosRequestConfig;

/** Puts a token on a request, and with it whatever proves that it is ours. */
export function authorize(
  config: Config,
  { api, managed, strict }: TokenChoice,
  token: AccessToken,
): Config | Promise<Config> {
  const authorization = token.authorization;
  const { adapter } = config;
  const attempt: Attempt = { api, managed, strict, token, authorization, adapter, astray: false };
  config.headers['Authorization'] = authorization;
  if (api.tlsAgent) config.httpsAgent ??= api.tlsAgent;
  if (typeof config.data === 'object' && config.data instanceof FormData) fixBoundary(config);
  SentRequest.on(config, attempt);
  guardTarget(config);
  guardRedirects(config, attempt);
  return api.dpop === undefined ? config : addProof(config, api.dpop, token);
}

/** A transform with a look at the target in front, by the one without; not one more, since Axios goes through all headers before each. */
const guards = new WeakMap<AxiosRequestTransformer, AxiosRequestTransformer>();
const unchanged: AxiosRequestTransformer = (data: unknown) => data;

/** Transforms run after all interceptors, wherever those stand: here it shows where the request really goes. */
function guardTarget(config: Config): void {
  const { transformRequest } = config;
  const transforms = Array.isArray(transformRequest) ? transformRequest.slice() : [transformRequest];
  const first = transforms[0] ?? unchanged;
  let guard = guards.get(first);
  if (guard === undefined) {
    guard = function (data, headers) {
      checkTarget(this);
      return first.call(this, data, headers) as unknown;
    };
    guards.set(first, guard).set(guard, guard);
  }
  transforms[0] = guard;
  config.transformRequest = transforms as AxiosRequestTransformer[];
}

function checkTarget(config: Config): void {
  const attempt = SentRequest.attemptOf(config);
  if (attempt === undefined || attempt.api.origins.allow(config)) return;
  if (attempt.strict) throw originNotAllowed(config, attempt.api);
  config.headers.delete('Authorization');
  config.headers.delete('DPoP');
  attempt.astray = true;
}

/** The error of a request that would take a token astray. */
export function originNotAllowed(config: Config, { client }: ApiClient): OriginNotAllowedError {
  return new OriginNotAllowedError(client.name, targetOf(config)?.origin);
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
