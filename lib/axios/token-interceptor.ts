import axios, {
  AxiosHeaders,
  type AxiosError,
  type AxiosInstance,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import { firstValueFrom, timer } from 'rxjs';
import type { AccessToken } from '../core/access-token.js';
import type { Clock } from '../core/clock.js';
import { OriginNotAllowedError } from '../core/errors.js';
import type { ManagedToken } from '../core/managed-token.js';
import type { OAuthClient } from '../core/oauth-client.js';
import { targetOf, type AllowedOrigins } from './allowed-origins.js';
import { isMasked, maskError } from './masking.js';
import './request-config.js';

/** Makes DPoP proofs for API requests and keeps the APIs' nonces (RFC 9449). */
export interface ProofMaker {
  proof(method: string, url: URL, token: AccessToken): Promise<string>;
  rememberNonce(origin: string, nonce: string | undefined): boolean;
}

/** A client as API requests see it. */
export interface ApiClient {
  readonly client: OAuthClient;
  readonly origins: AllowedOrigins;
  readonly unauthorizedRetry: boolean;
  readonly dpop: ProofMaker | undefined;
  readonly clock: Clock;
}

/** Which client's token a request gets. `strict`: a request that leaves its origins is an error, not one without a token. */
export type ClientSelector = (
  config: InternalAxiosRequestConfig,
) => { api: ApiClient; strict: boolean } | undefined;

/** How a request was sent, kept on its config until the response is in. */
interface Attempt {
  api: ApiClient;
  managed: ManagedToken;
  token: AccessToken;
}

const ATTEMPT = Symbol('oauth attempt');
const GUARDED = Symbol('oauth redirect guard');
/** How long a lagging API gets to learn of a new token. */
const LAG_WAIT_MS = 500;

type Config = InternalAxiosRequestConfig & { [ATTEMPT]?: Attempt | undefined };
type BeforeRedirect = NonNullable<InternalAxiosRequestConfig['beforeRedirect']> & { [GUARDED]?: true };

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
  config[ATTEMPT] = undefined;
  if (config.oauth === false) return config;
  const present = config.headers.get('Authorization');
  if (present !== null && present !== undefined && present !== false && !isMasked(present)) return config;
  const selected = select(config);
  if (!selected?.api.origins.allow(config)) {
    if (selected?.strict) {
      throw new OriginNotAllowedError(
        selected.api.client.name,
        targetOf(config)?.origin ?? 'an unknown origin',
      );
    }
    config.headers.delete('Authorization');
    return config;
  }
  const { api } = selected;
  const managed = api.client.managed(config.oauth);
  const token = api.client.closed || config.oauth?.forceRefresh ? undefined : managed.current();
  if (token === undefined) return waitForToken(config, api, managed);
  return authorize(config, { api, managed, token });
}

async function waitForToken(config: Config, api: ApiClient, managed: ManagedToken): Promise<Config> {
  const { oauth, signal } = config;
  const cancel = signal instanceof AbortSignal ? { signal } : {};
  try {
    const token = await api.client.getToken({ ...(oauth || {}), ...cancel });
    return await authorize(config, { api, managed, token });
  } catch (error) {
    // Axios looks at the signal before it sends anything, and reports the cancellation in its own way.
    if (signal?.aborted) return config;
    throw error;
  }
}

function authorize(config: Config, attempt: Attempt): Config | Promise<Config> {
  const { api, token } = attempt;
  config.headers.set('Authorization', token.authorization);
  config[ATTEMPT] = attempt;
  guardRedirects(config, api.origins);
  return api.dpop === undefined ? config : addProof(config, api.dpop, token);
}

async function addProof(config: Config, dpop: ProofMaker, token: AccessToken): Promise<Config> {
  config.headers.set('DPoP', await dpop.proof(config.method ?? 'get', targetOf(config)!, token));
  return config;
}

/** Redirects are followed below Axios, where only this hook can take the token off (RFC 9110 §15.4). */
function guardRedirects(config: Config, origins: AllowedOrigins): void {
  const own = config.beforeRedirect as BeforeRedirect | undefined;
  if (own?.[GUARDED]) return;
  const guard: BeforeRedirect = (options, ...rest) => {
    own?.(options, ...rest);
    const target = String(options['href']);
    if (URL.canParse(target) && origins.reach(new URL(target)) > 0) return;
    const headers = (options['headers'] ?? {}) as Record<string, string>;
    for (const name of Object.keys(headers)) if (/^(authorization|dpop)$/i.test(name)) delete headers[name];
  };
  guard[GUARDED] = true;
  config.beforeRedirect = guard;
}

function handleResponse(response: AxiosResponse): AxiosResponse | Promise<AxiosResponse> {
  const attempt = (response.config as Config)[ATTEMPT];
  if (attempt === undefined) return response;
  // With a validateStatus of the caller's own, a 401 comes as a response.
  if (response.status === 401) return handleUnauthorized(attempt, response.config, response, () => response);
  noteAccepted(attempt, response);
  return response;
}

async function handleError(error: unknown): Promise<AxiosResponse> {
  const config =
    axios.isAxiosError(error) || axios.isCancel(error) ? ((error as AxiosError).config as Config) : undefined;
  const attempt = config?.[ATTEMPT];
  if (config === undefined || attempt === undefined) throw error;
  const { response } = error as AxiosError;
  if (response?.status === 401) return handleUnauthorized(attempt, config, response, () => fail(error));
  if (response) noteAccepted(attempt, response);
  return fail(error);
}

function fail(error: unknown): never {
  if (axios.isAxiosError(error) || axios.isCancel(error)) maskError(error as AxiosError);
  throw error;
}

function noteAccepted({ api, managed, token }: Attempt, response: AxiosResponse): void {
  managed.accept(token);
  if (api.dpop) noteNonce(api.dpop, response);
}

function noteNonce(dpop: ProofMaker, response: AxiosResponse): boolean {
  const nonce: unknown = response.headers['dpop-nonce'];
  const target = targetOf(response.config);
  return (
    target !== undefined && dpop.rememberNonce(target.origin, typeof nonce === 'string' ? nonce : undefined)
  );
}

/**
 * An API refused the token: forget exactly that one, get a newer one, send the request once more. `surface` gives
 * the caller the original outcome.
 */
async function handleUnauthorized(
  attempt: Attempt,
  config: Config,
  response: AxiosResponse,
  surface: () => AxiosResponse,
): Promise<AxiosResponse> {
  const { api, managed, token } = attempt;
  const replayable = api.unauthorizedRetry && isReplayable(config.data);
  if (api.dpop && noteNonce(api.dpop, response) && replayable) {
    const answer = await unlessUnauthorized(() => replay(config, attempt));
    if (answer) return answer;
  } else if (replayable && managed.mayBeLagging(token)) {
    await firstValueFrom(timer(LAG_WAIT_MS, api.clock.scheduler));
    const answer = await unlessUnauthorized(() => replay(config, attempt));
    if (answer) return answer;
    managed.ruleOutLag(token);
  }
  if (managed.reject(token) === 'limited') return surface();
  if (!replayable) {
    // The caller gets the 401 either way; a failure of the refresh is told in an event.
    await managed.get(false).catch(() => undefined);
    return surface();
  }
  const newer = await managed.get(false);
  if (newer.value === token.value) return surface();
  return replay(config, { ...attempt, token: newer });
}

async function unlessUnauthorized(send: () => Promise<AxiosResponse>): Promise<AxiosResponse | undefined> {
  try {
    const response = await send();
    return response.status === 401 ? undefined : response;
  } catch (error) {
    if (axios.isAxiosError(error) && error.response?.status === 401) return undefined;
    throw error;
  }
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

/** The client whose token an API rejected for good, if that is what `error` tells. */
export function rejectedClientOf(error: unknown): string | undefined {
  if (!axios.isAxiosError(error) || error.response?.status !== 401) return undefined;
  return (error.config as Config | undefined)?.[ATTEMPT]?.api.client.name;
}

/** Streams are consumed by the first sending; everything else can be sent again. */
function isReplayable(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return true;
  return !('pipe' in data || 'getReader' in data || 'pipeThrough' in data || Symbol.asyncIterator in data);
}
