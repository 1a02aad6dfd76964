import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A partner on loopback: its authorization server and its API on one port. It takes plain http, since it never
 * leaves this machine; the real partners take HTTPS only.
 */
export abstract class PartnerSandbox {
  readonly clientId = 'clinic';
  /** New at every start, as a partner's portal would show it: once. */
  readonly clientSecret = randomBytes(24).toString('base64url');
  /** How long a new token lives, in milliseconds. */
  abstract tokenLifetimeMs: number;

  /** Where tokens are asked for. */
  protected abstract readonly tokenPath: string;
  /** Where the API begins. */
  protected abstract readonly apiPath: string;
  /** The tokens that are still honoured; `exp` in Unix seconds. */
  protected readonly issued = new Map<string, { exp?: number | undefined }>();

  readonly #server = createServer((request, response) => this.#receive(request, response));
  #tokenRequests = 0;
  #refusedCalls = 0;
  #downUntil = 0;

  /** Token requests received, refused ones included. */
  get tokenRequests(): number {
    return this.#tokenRequests;
  }

  /** Calls of the API that got a 401 since the last revocation. */
  get refusedCalls(): number {
    return this.#refusedCalls;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The `OAUTH_…` variables that point a client at this sandbox. */
  abstract get environment(): Record<string, string>;

  /** Listens on a free loopback port. */
  async start(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return this;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** From now on the API refuses every token issued so far. */
  revokeAll(): void {
    this.issued.clear();
    this.#refusedCalls = 0;
  }

  /** The authorization server answers 503 for so many milliseconds. The API stays up and honours its tokens. */
  goDown(ms: number): void {
    this.#downUntil = Date.now() + ms;
  }

  /** Milliseconds until the authorization server is up again; 0 while it is. */
  get downForMs(): number {
    return Math.max(0, this.#downUntil - Date.now());
  }

  /** Answers whatever is asked while the partner is up. */
  protected abstract answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void>;

  /** A new token and its lifetime in seconds, as token responses state it. */
  protected issueToken(): { access_token: string; token_type: 'Bearer'; expires_in: number } {
    const token = randomBytes(24).toString('base64url');
    this.issued.set(token, { exp: (Date.now() + this.tokenLifetimeMs) / 1000 });
    return { access_token: token, token_type: 'Bearer', expires_in: Math.floor(this.tokenLifetimeMs / 1000) };
  }

  /** Whether the request carries a token that was issued here, is not revoked and has not expired. */
  protected isAuthorized(request: IncomingMessage): boolean {
    const token = bearerToken(request);
    const exp = token === undefined ? undefined : this.issued.get(token)?.exp;
    return exp !== undefined && Date.now() / 1000 < exp;
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.url);
    if (request.method === 'POST' && url.pathname === this.tokenPath) this.#tokenRequests++;
    response.once('finish', () => {
      if (response.statusCode === 401 && url.pathname.startsWith(this.apiPath)) this.#refusedCalls++;
    });
    const { downForMs } = this;
    if (downForMs > 0 && !url.pathname.startsWith(this.apiPath)) {
      const retryAfter = String(Math.ceil(downForMs / 1000));
      return sendJson(response, 503, { error: 'temporarily_unavailable' }, { 'retry-after': retryAfter });
    }
    this.answer(request, response, url).catch(() => sendJson(response, 500, { error: 'server_error' }));
  }
}

/** The token of an `Authorization: Bearer …` header (RFC 6750 §2.1). */
export function bearerToken(request: IncomingMessage): string | undefined {
  return /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
}

/** Client id and secret of an `Authorization: Basic …` header (RFC 6749 §2.3.1). */
export function basicCredentials(request: IncomingMessage): [id: string, secret: string] | undefined {
  const encoded = /^Basic (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const [id = '', secret = ''] = Buffer.from(encoded, 'base64').toString().split(':');
  return [decodeURIComponent(id), decodeURIComponent(secret)];
}

/** Whether the request's body is of this media type, parameters aside. */
export function hasMediaType(request: IncomingMessage, type: string): boolean {
  return request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() === type;
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json;charset=utf-8', ...headers });
  response.end(JSON.stringify(body));
}
