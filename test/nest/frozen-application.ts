import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { OAuthClientModule, OAuthTokenService, type OAuthClientOptions } from '../../lib/index.js';

/** What the application is told over IPC. */
export type Command =
  | { command: 'call'; clients: string[]; as: string }
  | { command: 'block'; forMs: number }
  | { command: 'report' };

/** What it answers. Times are epoch milliseconds. */
export type Answer =
  | { answer: 'ready' | 'blocking' }
  | { answer: 'blocked'; until: number }
  | { answer: 'called'; client: string; as: string; outcome: string; at: number }
  | { answer: 'reported'; clients: Record<string, Report> };

/** What there is to see of a client. */
export interface Report {
  state: string;
  /** Events that say that a token request failed, and each time the status showed a cool-down or an error. */
  trouble: string[];
}

// An application of its own process, which the test freezes. It calls when it is told to.

const clients = JSON.parse(process.argv[2] ?? '{}') as Record<string, OAuthClientOptions>;

@Module({ imports: [OAuthClientModule.forRoot({ clients })] })
class ApplicationModule {}

const app = await NestFactory.create(ApplicationModule, { logger: false });
await app.init();
const tokens = app.get(OAuthTokenService);
const trouble: { client: string; what: string }[] = [];
tokens.events$.subscribe((event) => {
  if (event.type !== 'token_refresh_failed' && event.type !== 'token_request_failed') return;
  trouble.push({ client: event.client, what: `${event.type}: ${event.error.message}` });
});
process.on('message', (message: Command) => obey(message));
tell({ answer: 'ready' });

function obey(message: Command): void {
  switch (message.command) {
    case 'call':
      for (const client of message.clients) void call(client, message.as);
      return;
    case 'block':
      tell({ answer: 'blocking' }, () => {
        block(message.forMs);
        tell({ answer: 'blocked', until: Date.now() });
      });
      return;
    case 'report':
      tell({ answer: 'reported', clients: Object.fromEntries(Object.keys(clients).map(reportOf)) });
      return;
  }
}

async function call(client: string, as: string): Promise<void> {
  const outcome = await tokens.getToken(client).then(
    () => 'token',
    (error: Error) => error.message,
  );
  tell({ answer: 'called', client, as, outcome, at: Date.now() });
  look(client, as);
}

/** A cool-down may be over by the time of the report. */
function look(client: string, when: string): string {
  const { state, backoffUntil, lastError } = tokens.client(client).status();
  const seen = [backoffUntil && 'cooling down', lastError && `last error ${lastError.code}`].filter(Boolean);
  if (seen.length > 0) trouble.push({ client, what: `${when}: ${seen.join(', ')}` });
  return state;
}

/** Nothing else runs in this process meanwhile; unlike a busy loop, it leaves the processor to the others. */
function block(forMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs);
}

function reportOf(client: string): [string, Report] {
  const state = look(client, 'in the end');
  return [client, { state, trouble: trouble.filter((it) => it.client === client).map(({ what }) => what) }];
}

function tell(answer: Answer, sent?: () => void): void {
  process.send?.(answer, undefined, {}, sent);
}
