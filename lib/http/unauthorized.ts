import { Readable } from 'node:stream';
import axios, {
  AxiosHeaders,
  type AxiosError,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import { firstValueFrom, from, merge, takeUntil, timer } from 'rxjs';
import { aborted$ } from '../core/aborted.js';
import type { AccessToken } from '../core/access-token.js';
import { authorize } from './authorize.js';
import { targetOf } from './allowed-origins.js';
import { fail } from './masking.js';
import { SentRequest, type Attempt, type ProofMaker } from './sent-request.js';

type Config = InternalAxiosRequestConfig;

/** How long a lagging API gets to learn of a new token. */
const LAG_WAIT_MS = 500;

/** Sends requests a second time without any interceptor, so that those of the caller see one request and one response. */
const replayer = axios.create();
// Those of the request are complete; it may have taken off a default.
replayer.defaults.headers = {} as typeof replayer.defaults.headers;

/**
 * An API refused the token: forget exactly that one, get a newer one, send the request once more. `surface` gives
 * the caller the original outcome.
 */
export async function handleUnauthorized(
  attempt: Attempt,
  rejection: AxiosResponse,
  surface: () => AxiosResponse,
): Promise<AxiosResponse> {
  const { api, managed, token } = attempt;
  const { config } = rejection;
  if (attempt.astray) return surface();
  const nonceIsNew = api.dpop !== undefined && noteNonce(api.dpop, rejection);
  const replayable = api.unauthorizedRetry && isReplayable(config.data);
  if (nonceIsNew && !replayable) return surface(); // it says nothing about the token
  const answer = replayable ? await sameTokenAgain(attempt, rejection, nonceIsNew) : undefined;
  if (answer) return answer;
  if (managed.reject(token) === 'limited') return surface();
  if (!replayable) {
    managed.get(false).catch(() => undefined); // told by an event; the caller gets the 401 either way
    return surface();
  }
  const newer = await unlessCancelled(config, () => managed.get(false));
  if (newer?.value === token.value) return surface();
  discard(rejection);
  return settled(await replay(config, attempt, newer ?? token));
}

/** The answer to the same token, where the API may only have wanted its nonce, or not have known of the token yet. */
async function sameTokenAgain(
  attempt: Attempt,
  rejection: AxiosResponse,
  nonceIsNew: boolean,
): Promise<AxiosResponse | undefined> {
  const { api, managed, token } = attempt;
  const { config } = rejection;
  if (!nonceIsNew) {
    if (managed.reject(token) !== 'lagging') return undefined;
    await unlessCancelled(config, () => firstValueFrom(timer(LAG_WAIT_MS, api.clock.scheduler)));
  }
  const outcome = await replay(config, attempt, token);
  if (outcome.response?.status === 401) {
    discard(outcome.response);
    return undefined;
  }
  discard(rejection);
  return settled(outcome);
}

/** A response, which Axios may take for an error, or only an error. */
interface Outcome {
  response?: AxiosResponse;
  error?: unknown;
}

/**
 * Sends the request again as it went out: same method, URL, headers and bytes, with that token.
 *
 * @param nonceMayChange whether it may be sent once more with a nonce that the API asks for only now (RFC 9449 §9)
 */
async function replay(
  config: Config,
  attempt: Attempt,
  token: AccessToken,
  nonceMayChange = true,
): Promise<Outcome> {
  const { dpop } = attempt.api;
  const again: Config = {
    ...config,
    ...(attempt.adapter && { adapter: attempt.adapter }),
    headers: new AxiosHeaders(config.headers),
    transformRequest: (data: unknown) => data,
  };
  await authorize(again, attempt, token);
  const outcome = await outcomeOf(replayer.request(again));
  const { response } = outcome;
  if (response && response.status !== 401) noteAccepted(SentRequest.attemptOf(again)!, response);
  else if (response && dpop && noteNonce(dpop, response) && nonceMayChange) {
    discard(response);
    return replay(config, attempt, token, false);
  }
  return outcome;
}

async function outcomeOf(sent: Promise<AxiosResponse>): Promise<Outcome> {
  try {
    return { response: await sent };
  } catch (error) {
    const { response } = error as AxiosError;
    return { error, ...(response && { response }) };
  }
}

function settled({ response, error }: Outcome): AxiosResponse {
  return error === undefined ? response! : fail(error);
}

/** A body that nobody will read keeps its connection. */
function discard({ data }: AxiosResponse): void {
  if (data instanceof Readable) data.destroy();
}

/** An API took the token, whatever else it answered. */
export function noteAccepted({ api, managed, token, astray }: Attempt, response: AxiosResponse): void {
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

/** What `work` comes to, or nothing as soon as the caller cancels: Axios reports that before it sends anything. */
export async function unlessCancelled<T>(
  { signal, cancelToken }: Config,
  work: () => Promise<T>,
): Promise<T | undefined> {
  if (signal?.aborted || cancelToken?.reason) return undefined;
  const cancelled = [
    ...(signal ? [aborted$(signal as AbortSignal)] : []),
    ...(cancelToken ? [cancelToken.promise] : []),
  ];
  return firstValueFrom(from(work()).pipe(takeUntil(merge(...cancelled))), { defaultValue: undefined });
}

/** Streams are consumed by the first sending; everything else can be sent again. */
function isReplayable(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return true;
  return !('pipe' in data || 'getReader' in data || 'pipeThrough' in data || Symbol.asyncIterator in data);
}
