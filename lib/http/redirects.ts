import type { InternalAxiosRequestConfig } from 'axios';
import type { Agent } from 'node:https';
import type { AccessToken } from '../core/access-token.js';
import type { AllowedOrigins } from './allowed-origins.js';
import type { Credentials } from './authorized-call.js';
import { isCredential, type TokenHeader } from './sealing.js';

type BeforeRedirect = NonNullable<InternalAxiosRequestConfig['beforeRedirect']>;
type Options = Parameters<BeforeRedirect>[0];

/** How far token and certificate of a client may go, and the agents that have the certificate and that have it not. */
export interface Reach {
  origins: AllowedOrigins;
  /** The header of the token. */
  header: TokenHeader;
  inside: Agent | undefined;
  outside: Agent | undefined;
}

/** What says where a redirected request goes. */
const TARGET = ['href', 'protocol', 'hostname', 'host', 'port', 'path', 'socketPath'];

/**
 * Redirects are followed below Axios, where only `beforeRedirect` can take the token off, or put it back: at a
 * change of host it is lost, allowed or not (RFC 9110 §15.4).
 *
 * @param credentials what the request carries; without any only the client's certificate is looked after, which
 * goes no further than a token
 * @param own the caller's own, which runs first
 */
export function followRedirect(
  { origins, header, inside, outside }: Reach,
  credentials: Credentials | undefined,
  own: BeforeRedirect | undefined,
  ...[options, ...rest]: Parameters<BeforeRedirect>
): void {
  const before = targetIn(options);
  own?.(options, ...rest);
  const href = String(options['href']);
  const moved = targetIn(options) !== before || !URL.canParse(href);
  if (credentials) credentials.astray ||= moved;
  const mayFollow = !moved && (credentials?.mayFollow(new URL(href)) ?? origins.reach(new URL(href)) > 0);
  if (credentials) setCredentials(options, header, mayFollow ? credentials.token : undefined);
  const agents = options['agents'] as { https?: Agent | undefined } | undefined;
  // Axios may have put in one that tunnels without the certificate.
  if (agents && inside !== outside) agents.https = mayFollow ? inside : outside;
}

function targetIn(options: Options): string {
  return TARGET.map((name) => String(options[name])).join('\n');
}

function setCredentials(options: Options, header: TokenHeader, token: AccessToken | undefined): void {
  const headers = (options['headers'] ??= {}) as Record<string, string>;
  for (const name of Object.keys(headers)) if (isCredential(name, header.ownName)) delete headers[name];
  if (token !== undefined) headers[header.name] = header.valueFor(token);
}
