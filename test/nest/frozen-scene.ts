import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { eventually } from '../support/eventually.js';
import { clientOf } from '../support/server.js';
import type { Answer, Command, Report } from './frozen-application.js';

/** A process that stands still in the middle of its token requests. */
export interface Freeze {
  name: string;
  /** Stopped by a signal, or with a blocked event loop. */
  by: 'signal' | 'blocking';
  forMs: number;
  /** Lifetime of the tokens until then. */
  lifetimeS: number;
  timeoutMs?: number;
}

/** One client of the process, and what its server does about the request that is under way. */
export interface FrozenClient {
  /** Whether callers wait for the request, or have a valid token and it is made in the background. */
  request: 'awaited' | 'in the background';
  server: keyof typeof MEANWHILE;
  retry: { attempts?: number };
}

/** What the callers and the server of one client saw. */
export interface Seen extends Report {
  /** What those got who were waiting when the process froze. */
  waiting: (string | undefined)[];
  /** A call that came while it was frozen, and is the first thing after the thaw. */
  first: string | undefined;
  /** One that comes a moment later. */
  next: string | undefined;
  /** How long after the thaw the last of them was served. */
  servedMs: number;
  requestsAfterThaw: number;
}

/** What an authorization server does while its client is frozen. */
const MEANWHILE = { answers: undefined, resets: 'reset', hangs: 'hang' } as const;
const LATER_LIFETIME_S = 3_600;
/** How far a token request has come when the process freezes. */
const UNDER_WAY_MS = 200;
const NEXT_MS = 250;
/** Longer than a deadline of a token request, in case one is running still. */
const AFTERMATH_MS = 6_000;

/** One client with an authorization server of its own, which runs on while the client's process is frozen. */
class Station {
  readonly name: string;
  readonly client: FrozenClient;
  readonly server: FakeAuthorizationServer;
  readonly #before: number;

  private constructor(name: string, client: FrozenClient, server: FakeAuthorizationServer) {
    this.name = name;
    this.client = client;
    this.server = server;
    this.#before = client.request === 'awaited' ? 1 : 2;
  }

  /** @param frozen until when the server holds back what it does about the request under way */
  static async start(name: string, client: FrozenClient, freeze: Freeze, frozen: Promise<void>) {
    const server = await FakeAuthorizationServer.start({ expiresIn: LATER_LIFETIME_S });
    const token = () => server.nextToken({ expires_in: freeze.lifetimeS });
    if (client.request === 'in the background') server.respondWith(token);
    server.respondWith(async () => {
      await frozen;
      return MEANWHILE[client.server] ?? token();
    });
    return new Station(name, client, server);
  }

  options({ lifetimeS, timeoutMs }: Freeze): OAuthClientOptions {
    const { server, client } = this;
    return {
      ...clientOf(server),
      retry: client.retry,
      ...(timeoutMs !== undefined && { timeoutMs }),
      // From a tenth of its life on a token is refreshed in the background; a later one is not.
      ...(client.request === 'in the background' && {
        refreshAhead: { ratio: 1, maxMs: lifetimeS * 1_000 },
      }),
    };
  }

  get requestUnderWay(): boolean {
    return this.server.tokenRequests.length === this.#before;
  }

  get requestsAfterThaw(): number {
    return this.server.tokenRequests.length - this.#before;
  }
}

/** The child process with the application. */
class FrozenProcess {
  readonly answers: Answer[] = [];
  readonly #child: ChildProcess;

  constructor(script: string, clients: Record<string, OAuthClientOptions>) {
    this.#child = fork(script, [JSON.stringify(clients)], { execArgv: [], stdio: 'inherit' });
    this.#child.on('message', (answer: Answer) => this.answers.push(answer));
  }

  tell(command: Command): void {
    this.#child.send(command);
  }

  /** The answers of one kind so far. */
  all<A extends Answer['answer']>(answer: A): Extract<Answer, { answer: A }>[] {
    return this.answers.filter((it): it is Extract<Answer, { answer: A }> => it.answer === answer);
  }

  async answer<A extends Answer['answer']>(answer: A): Promise<Extract<Answer, { answer: A }>> {
    let found: Extract<Answer, { answer: A }> | undefined;
    await eventually(() => {
      if (!this.running) throw new Error('The application ended early.');
      return (found = this.all(answer)[0]) !== undefined;
    });
    return found ?? Promise.reject(new Error('There is no such answer.'));
  }

  /** Stands still for as long as that; `meanwhile` runs as soon as it does, `last` shortly before it goes on. */
  async freeze(
    { by, forMs }: Freeze,
    meanwhile: () => void,
    last: () => void,
  ): Promise<{ thawedAt: number }> {
    if (by === 'signal') this.#child.kill('SIGSTOP');
    else {
      this.tell({ command: 'block', forMs });
      await this.answer('blocking');
    }
    const frozenAt = performance.now();
    await sleep(50);
    meanwhile();
    await sleep(forMs - 500 - (performance.now() - frozenAt));
    last();
    if (by === 'blocking') return { thawedAt: (await this.answer('blocked')).until };
    await sleep(forMs - (performance.now() - frozenAt));
    const thawedAt = Date.now();
    this.#child.kill('SIGCONT');
    return { thawedAt };
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async end(): Promise<void> {
    if (!this.running) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** Freezes an application in the middle of a token request of each client, and tells what each one saw, in order. */
export async function freezeApplication(
  script: string,
  freeze: Freeze,
  clients: readonly FrozenClient[],
): Promise<Seen[]> {
  let onFrozen = (): void => undefined;
  const frozen = new Promise<void>((resolve) => (onFrozen = resolve));
  const stations = await Promise.all(
    clients.map((client, index) => Station.start(`client-${index}`, client, freeze, frozen)),
  );
  const options = stations.map((station) => [station.name, station.options(freeze)] as const);
  const application = new FrozenProcess(script, Object.fromEntries(options));
  try {
    await application.answer('ready');
    await startRequests(application, stations, freeze);
    const names = stations.map(({ name }) => name);
    const first: Command = { command: 'call', clients: names, as: 'first' };
    const { thawedAt } = await application.freeze(freeze, onFrozen, () => application.tell(first));
    await sleep(NEXT_MS);
    application.tell({ command: 'call', clients: names, as: 'next' });
    await sleep(AFTERMATH_MS);
    application.tell({ command: 'report' });
    const { clients: reports } = await application.answer('reported');
    return stations.map((station) => seenBy(station, application.all('called'), reports, thawedAt));
  } finally {
    await application.end();
    await Promise.all(stations.map(({ server }) => server.close()));
  }
}

/** Has a token request under way for each client, all of the same age. */
async function startRequests(
  application: FrozenProcess,
  stations: readonly Station[],
  { lifetimeS }: Freeze,
): Promise<void> {
  const ofKind = (kind: FrozenClient['request']) =>
    stations.filter(({ client }) => client.request === kind).map(({ name }) => name);
  const background = ofKind('in the background');
  application.tell({ command: 'call', clients: background, as: 'warm-up' });
  await eventually(() => application.all('called').length === background.length);
  await sleep(lifetimeS * 100 + 100);
  application.tell({ command: 'call', clients: background, as: 'last before' });
  for (const as of ['waiting', 'waiting as well']) {
    application.tell({ command: 'call', clients: ofKind('awaited'), as });
  }
  await eventually(() => stations.every(({ requestUnderWay }) => requestUnderWay));
  await sleep(UNDER_WAY_MS);
}

function seenBy(
  { name, client, requestsAfterThaw }: Station,
  calls: readonly Extract<Answer, { answer: 'called' }>[],
  reports: Record<string, Report>,
  thawedAt: number,
): Seen {
  const own = calls.filter((call) => call.client === name);
  const outcome = (as: string) => own.find((call) => call.as === as)?.outcome;
  const report = reports[name];
  if (report === undefined) throw new Error('The application does not know all its clients.');
  return {
    ...report,
    waiting: client.request === 'awaited' ? [outcome('waiting'), outcome('waiting as well')] : [],
    first: outcome('first'),
    next: outcome('next'),
    servedMs: Math.max(...own.map(({ at }) => at - thawedAt)),
    requestsAfterThaw,
  };
}
