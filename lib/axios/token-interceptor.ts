import { Readable } from 'node:stream';
import axios, {
  AxiosHeaders,
  type AxiosError,
  type AxiosInstance,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import { firstValueFrom, from, fromEvent, merge, takeUntil, timer } from 'rxjs';
import type { AccessToken } from '../core/access-token.js';
import { OriginNotAllowedError } from '../core/errors.js';
import type { ManagedToken } from '../core/managed-token.js';
import { targetOf } from './allowed-origins.js';
import { isMasked, maskError } from './masking.js';
import { guardRedirects } from './redirect-guard.js';
import { SentRequest, type ApiClient, type Attempt, type ProofMaker } from './sent-request.js';
import './request-config.js';

export type { ApiClient } from './sent-request.js';

/** Which client's token a request gets. `strict`: a request that leaves its origins is an error, not one without a token. */
export type ClientSelector = (
  config: InternalAxiosRequestConfig,
) => { api: ApiClient; strict: boolean } | undefined;

type Config = InternalAxiosRequestConfig;

/** How long a lagging API gets to learn of a new token. */
const LAG_WAIT_MS = 500;

/** Sends `request`s a second time without any interceptor, so that those of the caller see one request and one response. */
const replayer = axios.create();

/** Puts tokens on the requests of `instance`; returns what takes the interceptors off again. */
export function interceptTokens(instance: AxiosInstance, select: ClientSelector): () => void {
  const { request, response } = instance.interceptors;
  const onRequest = request.use((config) => attachToken(config, select));
  const onResponse = response.use(
    (answer) => handleResponse(answer),
    (error: unknown) => handleError(error),
  );
  return () => {
    request.eject(onRequest);
    response.eject(onResponse);
  };
}

/** Returns the config itself when the token is at hand: a promise would cost the request a turn. */
function attachToken(config: Config, select: ClientSelector): Config | Promise<Config> {
  const { headers } = config;
  const present: unknown = headers.get('Authorization');
  if (isOurs(config, present)) {
    headers.delete('Authorization');
    headers.delete('DPoP');
  } else if (present !== undefined || config.auth) return config;
  const { oauth } = config;
  const selected = oauth === false ? undefined : select(config);
  if (selected === undefined) return config;
  const { api, strict } = selected;
  if (!api.origins.allow(config)) {
    if (!strict) return config;
    throw new OriginNotAllowedError(api.client.name, targetOf(config)?.origin ?? 'an unknown origin');
  }
  const managed = api.client.managed(oauth || undefined);
  const token = api.client.closed || (oauth && oauth.forceRefresh) ? undefined : managed.current();
  if (token === undefined) return waitForToken(config, api, managed);
  return authorize(config, { api, managed, token, astray: false });
}

/** Whether an `Authorization` header is from an earlier sending of the request, masked or not. */
function isOurs(config: Config, authorization: unknown): boolean {
  if (typeof authorization !== 'string') return false;
  return isMasked(authorization) || authorization === SentRequest.attemptOf(config)?.token.authorization;
}

async function waitForToken(config: Config, api: ApiClient, managed: ManagedToken): Promise<Config> {
  const request = config.oauth || undefined;
  SentRequest.on(config); // a wait that is cancelled ends in an error with this config
  const token = await unlessCancelled(config, () => api.client.getToken(request));
  return token ? authorize(config, { api, managed, token, astray: false }) : config;
}

/** What `work` comes to, or nothing as soon as the caller cancels: Axios reports that before it sends anything. */
async function unlessCancelled<T>(
  { signal, cancelToken }: Config,
  work: () => Promise<T>,
): Promise<T | undefined> {
  if (signal?.aborted || cancelToken?.reason) return undefined;
  const cancelled = [
    ...(signal ? [fromEvent(signal as AbortSignal, 'abort')] : []),
    ...(cancelToken ? [cancelToken.promise] : []),
  ];
  return firstValueFrom(from(work()).pipe(takeUntil(merge(...cancelled))), { defaultValue: undefined });
}

function authorize(config: Config, attempt: Attempt): Config | Promise<Config> {
  const { api, token } = attempt;
  config.headers['Authorization'] = token.authorization;
  SentRequest.on(config, attempt);
  guardRedirects(config, attempt);
  return api.dpop === undefined ? config : addProof(config, api.dpop, token);
}

async function addProof(config: Config, dpop: ProofMaker, token: AccessToken): Promise<Config> {
  config.headers.set('DPoP', await dpop.proof(config.method ?? 'get', targetOf(config)!, token));
  return config;
}

function handleResponse(response: AxiosResponse): AxiosResponse | Promise<AxiosResponse> {
  const attempt = SentRequest.attemptOf(response.config);
  if (attempt === undefined) return response;
  // With a validateStatus of the caller's own, a 401 comes as a response.
  if (response.status === 401) return handleUnauthorized(attempt, response, () => response);
  noteAccepted(attempt, response);
  return response;
}

async function handleError(error: unknown): Promise<AxiosResponse> {
  if (!axios.isAxiosError(error)) throw error;
  const { config, response } = error;
  const attempt = SentRequest.attemptOf(config);
  if (attempt && response?.status === 401) {
    return handleUnauthorized(attempt, response, () => fail(error));
  }
  if (attempt && response) noteAccepted(attempt, response);
  return fail(error);
}

function fail(error: unknown): never {
  if (axios.isAxiosError(error) && (error.config?.oauth as unknown) instanceof SentRequest) maskError(error);
  throw error;
}

function noteAccepted({ api, managed, token, astray }: Attempt, response: AxiosResponse): void {
  if (astray) return;
  managed.accept(token);
  if (api.dpop) noteNonce(api.dpop, response);
}

function noteNonce(dpop: ProofMaker, { config, headers }: AxiosResponse): boolean {
  const nonce: unknown = headers['dpop-nonce'];
  const proof: unknown = config.headers.get('DPoP');
  const target = targetOf(config);
  if (target === undefined || typeof nonce !== 'string' || typeof proof !== 'string') return false;
  return dpop.rememberNonce(target.origin, nonce, proof);
}

/**
 * An API refused the token: forget exactly that one, get a newer one, send the request once more. `surface` gives
 * the caller the original outcome.
 */
async function handleUnauthorized(
  attempt: Attempt,
  rejection: AxiosResponse,
  surface: () => AxiosResponse,
): Promise<AxiosResponse> {
  const { api, managed, token } = attempt;
  const { config } = rejection;
  if (attempt.astray) return surface();
  const replayable = api.unauthorizedRetry && isReplayable(config.data);
  const answer = replayable ? await sameTokenAgain(attempt, rejection) : undefined;
  if (answer) return answer;
  if (managed.reject(token) === 'limited') return surface();
  if (!replayable) {
    managed.get(false).catch(() => undefined); // told by an event; the caller gets the 401 either way
    return surface();
  }
  const newer = await unlessCancelled(config, () => managed.get(false));
  if (newer?.value === token.value) return surface();
  discard(rejection);
  return replay(config, newer ? { ...attempt, token: newer } : attempt);
}

/** The answer to the same token, where the API may only have wanted its nonce, or not have known of the token yet. */
async function sameTokenAgain(
  attempt: Attempt,
  rejection: AxiosResponse,
): Promise<AxiosResponse | undefined> {
  const { api, managed, token } = attempt;
  const { config } = rejection;
  const nonceIsNew = api.dpop !== undefined && noteNonce(api.dpop, rejection);
  if (!nonceIsNew) {
    if (!managed.mayBeLagging(token)) return undefined;
    await unlessCancelled(config, () => firstValueFrom(timer(LAG_WAIT_MS, api.clock.scheduler)));
  }
  const answer = await unlessUnauthorized(() => replay(config, attempt));
  if (answer) discard(rejection);
  else if (!nonceIsNew) managed.ruleOutLag(token);
  return answer;
}

async function unlessUnauthorized(send: () => Promise<AxiosResponse>): Promise<AxiosResponse | undefined> {
  try {
    const response = await send();
    if (response.status !== 401) return response;
    discard(response);
  } catch (error) {
    if (!axios.isAxiosError(error) || error.response?.status !== 401) throw error;
    discard(error.response);
  }
  return undefined;
}

/** Sends the request again as it went out: same method, URL, headers and bytes, with the attempt's token. */
async function replay(config: Config, attempt: Attempt): Promise<AxiosResponse> {
  const again = {
    ...config,
    headers: new AxiosHeaders(config.headers),
    transformRequest: (data: unknown) => data,
  };
  await authorize(again, attempt);
  try {
    const response = await replayer.request(again);
    if (response.status !== 401) noteAccepted(attempt, response);
    return response;
  } catch (error) {
    const answered = (error as AxiosError).response;
    if (answered && answered.status !== 401) noteAccepted(attempt, answered);
    return fail(error);
  }
}

/** A body that nobody will read keeps its connection. */
function discard({ data }: AxiosResponse): void {
  if (data instanceof Readable) data.destroy();
}

/** The client whose token an API rejected for good, if that is what `error` tells. */
export function rejectedClientOf(error: unknown): string | undefined {
  if (!axios.isAxiosError(error) || error.response?.status !== 401) return undefined;
  return SentRequest.attemptOf(error.config)?.api.client.name;
}

/** Streams are consumed by the first sending; everything else can be sent again. */
function isReplayable(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return true;
  return !('pipe' in data || 'getReader' in data || 'pipeThrough' in data || Symbol.asyncIterator in data);
}
