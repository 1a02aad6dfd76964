import type { ClientRequest, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import {
  AxiosHeaders,
  type AxiosError,
  type AxiosInstance,
  type AxiosRequestConfig,
  type AxiosResponse,
  type CreateAxiosDefaults,
} from 'axios';
import { AuthorizationServerUnavailableError, OAuthClientError, TokenResponseError } from '../core/errors.js';
import { serverText } from '../core/server-text.js';
import { targetOf } from './allowed-origins.js';
import { createInstance } from './axios-instance.js';
import type { Routes } from './routes.js';
import { PROXY_FAILED, proxyError } from './tunnel.js';

/** What an authorization server may answer. */
const BOUNDS = {
  maxRedirects: 0,
  fetchOptions: { redirect: 'manual' }, // early fetch adapters do not know maxRedirects
  maxContentLength: 1_048_576,
};

/**
 * Sends a client's protocol requests by Axios, so that its proxy, agents and TLS apply to them too, but without
 * redirects, and within 1 MiB.
 *
 * @param remedyFor finds the remedy for a network error
 */
export function httpTransport(
  client: string,
  http: CreateAxiosDefaults,
  routes: Routes,
  remedyFor: (said: string) => string,
): (request: AxiosRequestConfig<string>) => Promise<Response> {
  const instance = routedInstance(client, routes, {
    ...http,
    baseURL: '',
    params: undefined,
    timeout: 0,
    responseType: 'text',
    transformRequest: (data: unknown) => data,
    transformResponse: (data: unknown) => data,
    validateStatus: () => true,
  });
  const send = async (request: AxiosRequestConfig<string>): Promise<Response> => {
    try {
      return toResponse(await instance.request<string>(request));
    } catch (reason) {
      if (reason instanceof OAuthClientError) throw reason;
      const error = reason as AxiosError;
      const head = headOf(error);
      // A refusal or an outage shows in its status, however its body ends.
      if (head && head.status >= 400) return toResponse(head);
      if (wasStale(error)) return send(request);
      throw typed(client, error, remedyFor);
    }
  };
  return send;
}

/** An instance for requests to an authorization server: without redirects, and within the bound. */
export function routedInstance(client: string, routes: Routes, http: CreateAxiosDefaults): AxiosInstance {
  const instance = createInstance(client, { ...http, ...BOUNDS });
  instance.interceptors.request.use((config) => {
    if (routes.areNeeded || config.proxy) routes.lay(config, targetOf(config));
    return config;
  });
  instance.interceptors.response.use((response) => {
    refuseProxyAnswer(response.request);
    return response;
  });
  return instance;
}

/**
 * Agents of other libraries hand on what a proxy answers in place of a tunnel as if it were the server's answer.
 *
 * @param request what an answer says that it belongs to
 * @throws if that was sent over https, and the answer came without TLS
 */
export function refuseProxyAnswer(request: unknown): void {
  const { protocol, host, res } = (request ?? {}) as Partial<ClientRequest & { res: IncomingMessage }>;
  if (protocol !== 'https:' || !(res?.socket instanceof Socket) || 'encrypted' in res.socket) return;
  throw proxyError('', `opened no tunnel to ${host}: it answered ${res.statusCode}`);
}

/** Whether the request used a kept-alive connection that the server had closed. */
function wasStale({ code, request }: AxiosError): boolean {
  const { reusedSocket, res } = (request ?? {}) as { reusedSocket?: boolean; res?: IncomingMessage };
  return reusedSocket === true && !res && (code === 'ECONNRESET' || code === 'EPIPE');
}

type Answer = Pick<AxiosResponse<string>, 'status' | 'headers'> & { data?: string };

/** Status and headers of an answer whose body broke off or was too large. */
export function headOf({ response, request }: AxiosError): Answer | undefined {
  if (response) return { status: response.status, headers: response.headers };
  const sent = (request ?? {}) as { _currentRequest?: ClientRequest; [HEAD]?: Answer };
  if (sent[HEAD]) return sent[HEAD];
  const { res } = (sent._currentRequest ?? sent) as { res?: IncomingMessage };
  if (res?.statusCode === undefined) return undefined;
  return { status: res.statusCode, headers: res.headers as AxiosResponse['headers'] };
}

/** On a `Request` of fetch: the head of its answer, which the errors of Axios's fetch adapter leave out. */
const HEAD = Symbol('head');

/** Fetch for that adapter. One function for all requests, since the adapter keeps each that it is given. */
export async function fetchNoting(...sent: Parameters<typeof fetch>): Promise<Response> {
  const answer = await fetch(...sent);
  const { status, headers } = answer;
  const value: Answer = { status, headers: AxiosHeaders.from(headers as never) };
  Object.defineProperty(Object(sent[0]), HEAD, { value });
  return answer;
}

function toResponse({ status, headers, data = '' }: Answer): Response {
  const known = AxiosHeaders.from(headers as AxiosHeaders).toJSON(true);
  const bodiless = status === 204 || status === 205 || status === 304;
  return new Response(bodiless ? null : data, { status, headers: known });
}

/** Keeps only what the network said: an Axios error holds the request, and that holds the credentials. */
function typed(client: string, { code, message }: AxiosError, remedyFor: (said: string) => string): Error {
  if (message.startsWith('maxContentLength')) {
    return new TokenResponseError(
      `The authorization server of OAuth client "${client}" sent a response that is larger than 1 MiB.`,
      { client, retryable: true },
    );
  }
  const why = code === PROXY_FAILED ? `: ${message}` : `${code === undefined ? '' : ` (${code})`}.`;
  const cause = Object.assign(new Error(serverText(message)), { code });
  return new AuthorizationServerUnavailableError(
    `The authorization server of OAuth client "${client}" could not be reached${why}`,
    { client, cause, remedy: remedyFor(`${code} ${message}`) },
  );
}
