import { randomUUID } from 'node:crypto';
import { OAuthClientError, type OAuthClientStatus } from 'nestjs-oauth-client';
import type { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { filter, firstValueFrom } from 'rxjs';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';
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
  readonly clock: StoppedClock;
  readonly server: FakeAuthorizationServer;
  /** A server that nobody has a reason to talk to. */
  readonly elsewhere: Recorder;
  /** How the token looks to the API that has come to its state; `undefined` while there is none. */
  old: string | undefined;
  readonly #app: Application;
  readonly #api: Recorder;
  readonly #startedAt: number;

  private constructor(clock: StoppedClock, app: Application, api: Recorder, elsewhere: Recorder) {
    this.clock = clock;
    this.server = app.server;
    this.elsewhere = elsewhere;
    this.#app = app;
    this.#api = api;
    this.#startedAt = clock.now();
  }

  /** An application whose token has come to `state`. */
  static async start(state: TokenState, timeoutMs: number): Promise<FaultScene> {
    const clock = new StoppedClock();
    const [api, elsewhere] = [await Recorder.start(), await Recorder.start()];
    const options = {
      baseURL: api.origin,
      timeoutMs,
      retry: { attempts: 2, minDelayMs: 10, maxDelayMs: 20, totalMs: 15_000 },
    };
    const app = await Application.withServer(options, { clock, shutdownGraceMs: 0 });
    const scene = new FaultScene(clock, app, api, elsewhere);
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
    return this.#app.eventTypes.filter((type) => ENDS.includes(type)).length;
  }

  /** The authorization server is well again. */
  recover(): void {
    this.server.alwaysRespond(this.#healthy);
  }

  /** A request to the API, and all that it sets off. */
  async call(): Promise<Outcome> {
    const { tokens } = this.#app;
    const { tokenRequests } = this.#status;
    const earlier = this.#api.requests.length;
    const present = this.#api.requests.at(-1)?.headers.authorization;
    const waited = !this.#atHand();
    let error: unknown;
    await this.#app.get('/x').catch((reason: unknown) => (error = reason));
    // A flight that goes on in the background belongs to it as well.
    const ends$ = tokens.events$.pipe(filter(({ type }) => ENDS.includes(type)));
    const { state, backoffUntil } = this.#status;
    const failing = state === 'degraded' || state === 'down';
    if (state === 'refreshing' || (failing && backoffUntil === undefined)) await firstValueFrom(ends$);
    this.#app.watch.add(error, tokens.status());
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
    return this.#app.tokens.status()[0]!;
  }

  /** Whether a caller has a token, or an error, without any wait. */
  #atHand(): boolean {
    let settled = false;
    const settle = (): void => void (settled = true);
    this.#app.tokens.token$('api').subscribe({ next: settle, error: settle });
    return settled;
  }
}
