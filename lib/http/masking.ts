import { Stream } from 'node:stream';
import { inspect } from 'node:util';
import axios, { type AxiosError, type InternalAxiosRequestConfig } from 'axios';
import { SentRequest } from './sent-request.js';

const MASK = ' [masked]';

/** Whether an `Authorization` header is what {@link maskError} left. */
export function isMasked(authorization: string): boolean {
  return authorization.endsWith(MASK);
}

/**
 * Takes the token and the DPoP proof out of what an Axios error shows of its request: in JSON, in `util.inspect()`
 * and in the objects that loggers walk through. The request can still be sent again: the interceptor replaces the
 * mask.
 *
 * @param ours whether the request carried our token; the agents may have carried it for others in any case
 */
function maskError(error: AxiosError, ours: boolean): void {
  const { config, response } = error;
  if (config) maskConfig(config, ours);
  // A stream knows what it is piped to: the request, headers and all.
  if (config?.data instanceof Stream) hide(config, 'data');
  hide(error, 'request');
  if (axios.isAxiosError(error.cause)) maskError(error.cause, ours); // some versions wrap one in another
  if (!response) return;
  if (response.config !== config) maskConfig(response.config, ours);
  hide(response, 'request');
  if (response.data instanceof Stream) hide(response, 'data');
}

function maskConfig({ headers, httpAgent, httpsAgent }: InternalAxiosRequestConfig, ours: boolean): void {
  const authorization = ours ? headers.get('Authorization') : undefined;
  if (typeof authorization === 'string' && !isMasked(authorization)) {
    headers.set('Authorization', authorization.replace(/\s.*$/s, '') + MASK);
  }
  if (ours && headers.has('DPoP')) headers.set('DPoP', MASK.trim());
  for (const agent of [httpAgent, httpsAgent] as unknown[])
    if (typeof agent === 'object' && agent) seal(agent);
}

/** Leaves a member in place, but out of the sight of all who list members, even hidden ones. */
function hide(owner: object, name: string): void {
  const { value, configurable } = Object.getOwnPropertyDescriptor(owner, name) ?? {};
  if (value === undefined || !configurable) return;
  let kept: unknown = value;
  const accessors = { get: () => kept, set: (replaced: unknown) => void (kept = replaced) };
  Object.defineProperty(owner, name, { ...accessors, enumerable: false, configurable: true });
}

/** An agent shows its keys, and all requests under way. */
function seal(agent: object): void {
  if (Object.hasOwn(agent, 'toJSON')) return;
  const shown = `[${agent.constructor.name}]`;
  for (const name of ['toJSON', inspect.custom]) {
    Object.defineProperty(agent, name, { value: () => shown, configurable: true, writable: true });
  }
}

/** Throws `error`, masked when it is Axios's, or anybody's that shows a request of ours. */
export function fail(error: unknown): never {
  const { config } = (error ?? {}) as Partial<AxiosError>;
  const ours = SentRequest.attemptOf(config) !== undefined;
  if (ours || axios.isAxiosError(error)) maskError(error as AxiosError, ours);
  throw error;
}
