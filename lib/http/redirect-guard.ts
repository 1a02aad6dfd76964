import type { InternalAxiosRequestConfig } from 'axios';
import type { Attempt } from './sent-request.js';

type BeforeRedirect = NonNullable<InternalAxiosRequestConfig['beforeRedirect']>;
type Guard = BeforeRedirect & { [OWN]?: BeforeRedirect | undefined };

const OWN = Symbol('beforeRedirect of the caller');
const MANUAL = { redirect: 'manual' } as const;

/**
 * Redirects are followed below Axios, where only `beforeRedirect` can take the token off, or put it back: at a
 * change of host it is lost, allowed or not (RFC 9110 §15.4).
 */
export function guardRedirects(config: InternalAxiosRequestConfig, attempt: Attempt): void {
  const { api, token } = attempt;
  const own = ownOf(config);
  const guard: Guard = (options, ...rest) => {
    const href = String(options['href']);
    const within = URL.canParse(href) && api.origins.reach(new URL(href)) > 0;
    // A proof of DPoP holds for one URL only, and who was sent out of the API may be sent back in by anybody.
    attempt.astray ||= !within || api.dpop !== undefined;
    if (!attempt.astray) setCredentials(options, token.authorization);
    own?.(options, ...rest);
    if (attempt.astray) setCredentials(options, undefined);
  };
  guard[OWN] = own;
  config.beforeRedirect = guard;
  // The fetch adapter asks nobody before it follows.
  config.fetchOptions = config.fetchOptions ? { ...config.fetchOptions, ...MANUAL } : MANUAL;
}

/** Takes the guard of an earlier sending off a request that gets no token this time. */
export function releaseRedirects(config: InternalAxiosRequestConfig): void {
  if (config.beforeRedirect) config.beforeRedirect = ownOf(config) as BeforeRedirect;
}

/** The caller's own: a request that is sent again has a guard already, for a token that may be another. */
function ownOf(config: InternalAxiosRequestConfig): BeforeRedirect | undefined {
  const present = config.beforeRedirect as Guard | undefined;
  return present && OWN in present ? present[OWN] : present;
}

function setCredentials(options: Record<string, unknown>, authorization: string | undefined): void {
  const headers = (options['headers'] ??= {}) as Record<string, string>;
  for (const name of Object.keys(headers)) if (/^(authorization|dpop)$/i.test(name)) delete headers[name];
  if (authorization !== undefined) headers['Authorization'] = authorization;
}
