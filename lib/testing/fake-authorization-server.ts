import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FakeEndpoint, record, send } from './fake-answer.js';
import type { FakeAnswer, FakeAnswerFunction, RecordedRequest } from './fake-answer.js';
import { misfit, parametersOf, refusalOf, tokenIn, type FakeDemands } from './fake-demands.js';
import type { FakeAuthorizationServerOptions } from './fake-options.js';

/**
 * A scriptable authorization server and the API that it protects, on 127.0.0.1 and a free port, for tests.
 *
 * The token endpoint issues `t1`, `t2`, … as Bearer tokens. The API answers 200 with `{ ok, method, path, body }`
 * to a token that was issued and is neither revoked nor expired, and 401 to all else. Metadata is served in the
 * forms of RFC 8414 and OpenID Connect Discovery. Scripted answers go first, in their order.
 *
 * @example
 * ```ts
 * const server = await FakeAuthorizationServer.start({ clients: { me: 'secret' } });
 * server.respondWith({ status: 503, headers: { 'retry-after': '1' } }, 'reset', { delayMs: 50 });
 *
 * await http.get(`${server.apiURL}/queries`); // two failures, a late success, one API request
 *
 * expect(server.tokenRequests).toHaveLength(3);
 * expect(server.apiRequests[0]?.headers.authorization).toBe('Bearer t1');
 * await server.close();
 * ```
 */
export class FakeAuthorizationServer {
  /** Seconds; with the next five, see {@link FakeAuthorizationServerOptions}. */
  expiresIn: number | null = 3600;
  echoScope = false;
  latencyMs = 0;
  apiLearnsAfterMs = 0;
  clients: Record<string, string> | undefined = undefined;
  demands: FakeDemands | undefined = undefined;
  /** Members that replace or extend the served metadata; `undefined` removes one. */
  metadata: Record<string, unknown> = {};
  /**
   * Runs on API requests without a scripted answer; what it returns is the answer, `undefined` means the usual
   * one. The token is checked after it, so a promise can hold a request while its token is revoked.
   */
  onApiRequest: FakeAnswerFunction | undefined = undefined;

  /** Origin, without a slash at its end. */
  readonly url: string;
  readonly issuer: string;
  readonly tokenEndpoint: string;
  /** Base of the protected API; every path under it answers, unless it is one of the authorization server. */
  readonly apiURL: string;

  readonly #server: Server;
  /** What `reset()` restores. */
  readonly #settings: FakeAuthorizationServerOptions;
  #state = freshState();

  private constructor(server: Server, options: FakeAuthorizationServerOptions) {
    const { issuerPath = '', tokenPath = '/oauth/token', apiPath = '/api', ...settings } = options;
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const at = (path: string) => new URL(path.replace(/^\/*/, '/'), this.url).href;
    this.issuer = issuerPath === '' ? this.url : at(issuerPath);
    this.tokenEndpoint = at(tokenPath);
    this.apiURL = at(apiPath).replace(/\/$/, '');
    this.#settings = Object.assign({}, this, settings);
    this.reset();
    server.on('request', (message, response) => void this.#serve(message, response));
  }

  /** Listens on 127.0.0.1 and a free port. */
  static async start(options: FakeAuthorizationServerOptions = {}): Promise<FakeAuthorizationServer> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new FakeAuthorizationServer(server, options);
  }

  /** What the token endpoint received, in order. */
  get tokenRequests(): readonly RecordedRequest[] {
    return this.#state.token.requests;
  }

  /** What the API received, in order. */
  get apiRequests(): readonly RecordedRequest[] {
    return this.#state.api.requests;
  }

  /** What the metadata addresses received, in order. */
  get metadataRequests(): readonly RecordedRequest[] {
    return this.#state.metadata.requests;
  }

  /** What arrived at no address of the server, in order. Each was answered 404, with what there is. */
  get otherRequests(): readonly RecordedRequest[] {
    return this.#state.other.requests;
  }

  /** Scripts the next answers of the token endpoint; after them the default returns. */
  respondWith(...answers: FakeAnswer[]): void {
    this.#state.token.queue.push(...answers);
  }

  /** Replaces the default answer of the token endpoint; `undefined` restores it. */
  alwaysRespond(answer: FakeAnswer | undefined): void {
    this.#state.token.always = answer;
  }

  /** Scripts the next answers of the API, whatever token they come with. */
  respondToApiWith(...answers: FakeAnswer[]): void {
    this.#state.api.queue.push(...answers);
  }

  /** Scripts the next answers of the metadata addresses. */
  respondToMetadataWith(...answers: FakeAnswer[]): void {
    this.#state.metadata.queue.push(...answers);
  }

  /** The next token response, with members replaced; `undefined` removes one. For scripts. */
  nextToken(members: Record<string, unknown> = {}): object {
    const expiresIn = this.expiresIn === null ? {} : { expires_in: this.expiresIn };
    return { access_token: `t${++this.#state.count}`, token_type: 'Bearer', ...expiresIn, ...members };
  }

  /** The API rejects this token from now on, also if it is issued again. */
  revoke(token: string): void {
    this.#state.revoked.add(token);
  }

  /** {@link revoke | Revokes} all tokens issued so far. */
  revokeAll(): void {
    for (const token of this.#state.issued.keys()) this.revoke(token);
  }

  /** As after the start: forgets requests, scripts and tokens, and restores the options. */
  reset(): void {
    Object.assign(this, this.#settings, { metadata: {} });
    this.#state = freshState();
  }

  /** Breaks every connection and refuses new ones. */
  async stopListening(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server.close(), 'close');
    this.#server.closeAllConnections();
    await closed;
  }

  /** Listens again on the same port. */
  async listenAgain(): Promise<void> {
    await once(this.#server.listen(Number(new URL(this.url).port), '127.0.0.1'), 'listening');
  }

  /** Ends every connection and the server. */
  close(): Promise<void> {
    return this.stopListening();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const request = await record(message);
      const answer = await this.#answer(request, request.url.split('?')[0] ?? '');
      if (!response.destroyed) send(response, answer);
    } catch (error) {
      // A client that left midway is nobody's mistake; a script that throws must be seen by the test.
      if (!response.destroyed) send(response, { status: 500, body: `The script failed: ${String(error)}` });
    }
  }

  async #answer(request: RecordedRequest, path: string): ReturnType<FakeEndpoint['answer']> {
    const { token, api, metadata, other } = this.#state;
    const url = this.url + path;
    if (url === this.tokenEndpoint.split('?')[0]) {
      const answer = await token.answer(request, (it) => this.#grant(it), this.latencyMs);
      const body = typeof answer === 'object' && answer.status === 200 ? answer.body : undefined;
      if (typeof body === 'object') this.#issue({ ...body });
      return answer;
    }
    const issuerPath = this.issuer.slice(this.url.length).replace(/\/$/, '');
    const isMetadata = DOCUMENTS.some((name) =>
      [`/.well-known/${name}${issuerPath}`, `${issuerPath}/.well-known/${name}`].includes(path),
    );
    if (isMetadata) return metadata.answer(request, () => this.#describe());
    if (`${url}/`.startsWith(`${this.apiURL}/`))
      return api.answer(request, async (it) => (await this.onApiRequest?.(it)) ?? this.#echo(it));
    const error = `Nothing is at ${path}. The API is below ${this.apiURL}, or where apiPath puts it, and the token endpoint at ${this.tokenEndpoint}, or where tokenPath puts it.`;
    return other.answer(request, () => ({ status: 404, body: { error } }));
  }

  #issue({ access_token: token, expires_in: seconds }: Record<string, unknown>): void {
    if (typeof token !== 'string') return;
    const lifetimeMs = Number(seconds ?? NaN) * 1000;
    const issuedAt = this.#state.issued.get(token)?.issuedAt ?? Date.now();
    const expiresAt = Date.now() + (Number.isFinite(lifetimeMs) ? lifetimeMs : Infinity);
    this.#state.issued.set(token, { issuedAt, expiresAt });
  }

  async #grant(request: RecordedRequest): Promise<FakeAnswer> {
    const { tokenResponse = (members) => members, refusalResponse = (body) => ({ status: 400, body }) } =
      this.#settings;
    const refusal = await refusalOf(request, this.demands, this.tokenEndpoint, this.clients);
    if (typeof refusal === 'object') return refusal;
    if (refusal !== undefined)
      return refusalResponse({ error: 'invalid_request', error_description: refusal });
    const { scope } = parametersOf(request);
    const token = this.nextToken(this.echoScope && scope ? { scope } : {}) as Record<string, unknown>;
    this.#issue(token);
    return tokenResponse(token);
  }

  #echo(request: RecordedRequest): FakeAnswer {
    const missing = misfit(request.headers, this.demands?.apiHeaders);
    if (missing !== undefined) return { status: 400, body: { error: `The header ${missing} is missing.` } };
    const token = tokenIn(request, this.demands);
    const { issuedAt, expiresAt } = this.#state.issued.get(token) ?? { issuedAt: 0, expiresAt: 0 };
    const known = Date.now() >= issuedAt + this.apiLearnsAfterMs && Date.now() < expiresAt;
    if (!known || this.#state.revoked.has(token)) {
      return { status: 401, body: { detail: 'Token is invalid or expired (decode).' } };
    }
    const body = request.json ?? request.rawBody.toString();
    return { status: 200, body: { ok: true, method: request.method, path: request.url, body } };
  }

  #describe(): FakeAnswer {
    const { issuer, tokenEndpoint: token_endpoint, metadata } = this;
    const jwks_uri = `${this.url}/jwks`;
    const body = { issuer, token_endpoint, jwks_uri, response_types_supported: [], ...metadata };
    return { status: 200, body };
  }
}

const DOCUMENTS = ['openid-configuration', 'oauth-authorization-server', 'smart-configuration'];

const freshState = () => ({
  token: new FakeEndpoint(),
  api: new FakeEndpoint(),
  metadata: new FakeEndpoint(),
  other: new FakeEndpoint(),
  issued: new Map<string, { issuedAt: number; expiresAt: number }>(),
  revoked: new Set<string>(),
  count: 0,
});
