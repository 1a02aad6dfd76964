import axios, { type AxiosInstance, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';
import { authorize, originNotAllowed } from './authorize.js';
import { fail, isMasked } from './masking.js';
import { releaseRedirects } from './redirect-guard.js';
import { SentRequest, type ApiClient, type Attempt, type TokenChoice } from './sent-request.js';
import { handleUnauthorized, noteAccepted, unlessCancelled } from './unauthorized.js';
import './request-config.js';

export type { ApiClient } from './sent-request.js';

/** Which client's token a request gets. `strict`: a request that leaves its origins is an error, not one without a token. */
export type ClientSelector = (
  config: InternalAxiosRequestConfig,
) => { api: ApiClient; strict: boolean } | undefined;

type Config = InternalAxiosRequestConfig;

/** Puts tokens on the requests of `instance`; returns what takes the interceptors off again. */
export function interceptTokens(instance: AxiosInstance, select: ClientSelector): () => void {
  const { request, response } = instance.interceptors;
  const mayGoAtOnce = FAILS_LIKE_ANY && request.constructor === axios.interceptors.request.constructor;
  const onRequest = request.use((config) => attachToken(config, choose(config, select)), undefined, {
    // Axios sends at once what no interceptor has to run for, and anything else three turns later. Where ours is
    // the only one, no other changes the request before or after.
    runWhen: (config) => !(mayGoAtOnce && request.handlers?.length === 1 && isDoneAtOnce(config, select)),
  });
  const onResponse = response.use(
    (answer) => handleResponse(answer),
    (error: unknown) => handleError(error),
  );
  return () => {
    request.eject(onRequest);
    response.eject(onResponse);
  };
}

/**
 * Whether what fails in a request that is sent at once reaches the interceptors of responses, where errors are masked:
 * since Axios 1.19. An instance of another copy of Axios may be of another version.
 */
const [MAJOR = 0, MINOR = 0] = axios.VERSION.split('.').map(Number);
const FAILS_LIKE_ANY = MAJOR > 1 || MINOR >= 19;

/** Prepares a request that has nothing to wait for. What is wrong with another one, the interceptor tells. */
function isDoneAtOnce(config: Config, select: ClientSelector): boolean {
  try {
    const choice = choose(config, select);
    if (choice && (choice.token === undefined || choice.api.dpop)) return false;
    void attachToken(config, choice);
    return true;
  } catch {
    return false;
  }
}

/** Returns the config itself when the token is at hand: a promise would cost the request a turn. */
function attachToken(config: Config, choice: TokenChoice | undefined): Config | Promise<Config> {
  if (choice === undefined) return leave(config);
  return choice.token === undefined ? waitForToken(config, choice) : authorize(config, choice, choice.token);
}

/** Whose token the request gets; `undefined` when it gets none. */
function choose(config: Config, select: ClientSelector): TokenChoice | undefined {
  const { headers, oauth } = config;
  const present: unknown = headers.get('Authorization');
  if (isOurs(config, present)) {
    headers.delete('Authorization');
    headers.delete('DPoP');
  } else if (present !== undefined || config.auth) return undefined;
  const selected = oauth === false ? undefined : select(config);
  if (selected === undefined) return undefined;
  const { api, strict } = selected;
  if (!api.origins.allow(config)) {
    if (!strict) return undefined;
    throw originNotAllowed(config, api);
  }
  const managed = api.client.life(oauth || undefined);
  const ready = !api.client.closed && !(oauth && (oauth.forceRefresh || oauth.signal?.aborted));
  return { api, managed, strict, token: ready ? managed.current() : undefined };
}

/** Without a token of ours; what was asked for may hold a subject token all the same, which an error would show. */
function leave(config: Config): Config {
  releaseRedirects(config);
  if (config.oauth) SentRequest.on(config);
  return config;
}

/** Whether an `Authorization` header is from an earlier sending of the request, masked or not. */
function isOurs(config: Config, authorization: unknown): boolean {
  if (typeof authorization !== 'string') return false;
  return isMasked(authorization) || authorization === SentRequest.attemptOf(config)?.authorization;
}

async function waitForToken(config: Config, choice: TokenChoice): Promise<Config> {
  const request = config.oauth || undefined;
  SentRequest.on(config); // a wait that is cancelled ends in an error with this config
  const token = await unlessCancelled(config, () => choice.api.client.getToken(request));
  return token ? authorize(config, choice, token) : config;
}

function handleResponse(response: AxiosResponse): AxiosResponse | Promise<AxiosResponse> {
  const attempt = attemptBehind(response.config);
  if (attempt === undefined) return response;
  // With a validateStatus of the caller's own, a 401 comes as a response.
  if (response.status === 401) return handleUnauthorized(attempt, response, () => response);
  noteAccepted(attempt, response);
  return response;
}

async function handleError(error: unknown): Promise<AxiosResponse> {
  if (!axios.isAxiosError(error)) return fail(error);
  const { config, response } = error;
  const attempt = attemptBehind(config);
  if (attempt && response?.status === 401) {
    return handleUnauthorized(attempt, response, () => fail(error));
  }
  if (attempt && response) noteAccepted(attempt, response);
  return fail(error);
}

/** Unless an interceptor that ran after ours put something else in the token's place. */
function attemptBehind(config: Config | undefined): Attempt | undefined {
  const attempt = SentRequest.attemptOf(config);
  return attempt && config?.headers['Authorization'] === attempt.authorization ? attempt : undefined;
}

/** The client whose token an API rejected for good, if that is what `error` tells. */
export function rejectedClientOf(error: unknown): string | undefined {
  if (!axios.isAxiosError(error) || error.response?.status !== 401) return undefined;
  return SentRequest.attemptOf(error.config)?.api.client.name;
}
