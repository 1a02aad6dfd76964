import { randomUUID } from 'node:crypto';
import { OAuthClientError, type OAuthClientStatus } from 'nestjs-oauth-client';
import type { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { filter, firstValueFrom } from 'rxjs';
import { ApiClient, CLIENT_ID, CLIENT_SECRET } from '../http/api-client.js';
import { Recorder } from '../http/recorder.js';
import { SecretWatch } from '../http/secrets.js';
import { StoppedClock } from './stopped-clock.js';

/** How far a token has come. */
export type TokenState = 'none' | 'fresh' | 'in the window' | 'expired';

/** What one request of the application came to. */
export interface Outcome {
  /** Whether there was neither token nor error at hand. */
  waited: boolean;
  error: OAuthClientError | undefined;
  /** Which token the API got, if a request was sent at all. */
  token: 'present' | 'new' | undefined;
  authorization: string | undefined;
  /** Token requests that it caused, those behind its back included. */
  tokenRequests: number;
}

const LIFETIME_S = 3_600;
/** The window of an hour's token is its last five minutes. */
const AGES_MS: Record<TokenState, number> = {
  none: 0,
  fresh: 0,
  'in the window': 3_400_000,
  expired: 3_700_000,
};
const ENDS = ['token_acquired', 'token_refresh_failed', 'token_request_failed'];

/** A Nest application with an authorization server, an API beside it, and a clock that the test moves. */
export class FaultScene {
  readonly watch: SecretWatch;
  readonly clock: StoppedClock;
  readonly server: FakeAuthorizationServer;
  /** A server that nobody has a reason to talk to. */
  readonly elsewhere: Recorder;
  /** How the token looks to the API that has come to its state; `undefined` while there is none. */
  old: string | undefined;
  readonly #client: ApiClient;
  readonly #api: Recorder;
  readonly #startedAt: number;

  private constructor(
    watch: SecretWatch,
    clock: StoppedClock,
    client: ApiClient,
    api: Recorder,
    elsewhere: Recorder,
  ) {
    this.watch = watch;
    this.clock = clock;
    this.server = client.server;
    this.elsewhere = elsewhere;
    this.#client = client;
    this.#api = api;
    this.#startedAt = clock.now();
    client.tokens.events$.subscribe((event) => watch.add(event));
  }

  /** An application whose token has come to `state`. */
  static async start(state: TokenState, timeoutMs: number): Promise<FaultScene> {
    const basic = Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString('base64');
    const watch = new SecretWatch(CLIENT_SECRET, basic, /access-token-\w/);
    const clock = new StoppedClock();
    const [api, elsewhere] = [await Recorder.start(), await Recorder.start()];
    const options = {
      baseURL: api.origin,
      timeoutMs,
      retry: { attempts: 2, minDelayMs: 10, maxDelayMs: 20, totalMs: 15_000 },
    };
    const client = await ApiClient.start(options, { clock, shutdownGraceMs: 0 }, watch);
    const scene = new FaultScene(watch, clock, client, api, elsewhere);
    if (state !== 'none') scene.old = (await scene.call()).authorization;
    clock.pass(AGES_MS[state]);
    return scene;
  }

  readonly #healthy = (): object => this.server.nextToken({ access_token: `access-token-${randomUUID()}` });

  /** Answers as a server does that keeps its tokens: the first one, until its time is up. */
  readonly sameAgain = (): object => ({
    access_token: 'access-token-1',
    token_type: 'Bearer',
    expires_in: Math.max(0, LIFETIME_S - Math.floor((this.clock.now() - this.#startedAt) / 1_000)),
  });

  /** Flights that came to an end so far. */
  get flights(): number {
    return this.#client.eventTypes().filter((type) => ENDS.includes(type)).length;
  }

  /** The authorization server is well again. */
  recover(): void {
    this.server.alwaysRespond(this.#healthy);
  }

  /** A request to the API, and all that it sets off. */
  async call(): Promise<Outcome> {
    const { tokens } = this.#client;
    const { tokenRequests } = this.#status;
    const earlier = this.#api.requests.length;
    const present = this.#api.requests.at(-1)?.headers.authorization;
    const waited = !this.#atHand();
    let error: unknown;
    await this.#client.get('/x').catch((reason: unknown) => (error = reason));
    // A flight that goes on in the background belongs to it as well.
    const ends$ = tokens.events$.pipe(filter(({ type }) => ENDS.includes(type)));
    const { state, backoffUntil } = this.#status;
    const failing = state === 'degraded' || state === 'down';
    if (state === 'refreshing' || (failing && backoffUntil === undefined)) await firstValueFrom(ends$);
    this.watch.add(error, tokens.status());
    if (error !== undefined && !(error instanceof OAuthClientError)) throw error;
    const authorization = this.#api.requests.slice(earlier).at(-1)?.headers.authorization;
    return {
      waited,
      error,
      authorization,
      token: authorization === undefined ? undefined : authorization === present ? 'present' : 'new',
      tokenRequests: this.#status.tokenRequests - tokenRequests,
    };
  }

  get #status(): OAuthClientStatus {
    return this.#client.tokens.status()[0]!;
  }

  /** Whether a caller has a token, or an error, without any wait. */
  #atHand(): boolean {
    let settled = false;
    const settle = (): void => void (settled = true);
    this.#client.tokens.token$('api').subscribe({ next: settle, error: settle });
    return settled;
  }
}
