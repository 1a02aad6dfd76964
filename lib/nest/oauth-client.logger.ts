import { inspect } from 'node:util';
import { Logger } from '@nestjs/common';
import type { Observable } from 'rxjs';
import type { OAuthClientEvent } from '../core/events.js';
import { OAuthClientError, ofTenant } from '../core/errors.js';
import { LruMap } from '../core/memory-token-store.js';
import type { PartnerFailure } from './partner-failure.js';

type FailureEvent = Extract<OAuthClientEvent, { error: Error; client: string }>;
type Whose = { client: string; tenant?: string | undefined };
type LogParts = Readonly<Record<string, string | number | undefined>> & { tenant?: string | undefined };
/** A client may have many tenants, each with troubles of its own. */
const MOST_REPORTED = 1_000;

/** One line for people, its parts for machines: loggers that write JSON take the members, others the sentence. */
export class LogEntry {
  readonly message: string;

  constructor(message: string, parts: LogParts = {}) {
    this.message = message;
    Object.assign(this, parts);
  }

  toString(): string {
    return this.message;
  }

  [inspect.custom](): string {
    return this.message;
  }
}

/** Writes to Nest's Logger what an operator needs to know: one line for each change of state, the rest as debug. */
export class OAuthClientLogger {
  readonly #logger = new Logger('OAuthClient');
  /** The troubles already reported, until they are over. */
  readonly #reported = new LruMap<true>(MOST_REPORTED);

  follow(events$: Observable<OAuthClientEvent>): void {
    events$.subscribe((event) => this.#log(event));
  }

  /** A handler failed. The line is an error only if no event of the client reported the failure before. */
  handlerFailed({ message, cause, problem }: PartnerFailure, handler: string): void {
    const { client = '', code, status } = problem;
    const trouble = code === 'token_rejected' ? 'rejected' : code === 'closed' ? 'closed' : 'down';
    const tenant = cause instanceof OAuthClientError ? cause.tenant : undefined;
    const parts = { client, tenant, code, status, handler };
    const level = this.#isNews(parts, trouble) ? 'error' : 'debug';
    this.#write(level, `${handler} failed with ${status}: ${message}`, parts);
  }

  /** Something to correct, with which the application still runs. */
  warn(client: string | undefined, message: string): void {
    this.#write('warn', message, { client });
  }

  #log(event: OAuthClientEvent): void {
    switch (event.type) {
      case 'token_acquired':
        return this.#acquired(event);
      case 'token_refresh_failed':
      case 'token_request_failed':
        return this.#failed(event);
      case 'token_rejected':
        return this.#rejected(event);
      case 'token_invalidated': {
        const { client, tenant, reason } = event;
        const line = `The token of client "${client}" was invalidated (${reason}).`;
        return this.#write('debug', line, { client, tenant, reason });
      }
      case 'store_unavailable': {
        const line = `The token store is unavailable: each instance keeps its own tokens until it recovers. ${event.error.message}`;
        return this.#write('warn', line);
      }
      case 'store_recovered':
        return this.#write('log', 'The token store recovered.');
    }
  }

  #acquired(event: Extract<OAuthClientEvent, { type: 'token_acquired' }>): void {
    const { client, tenant, reason, source, scope } = event;
    const expiresAt = event.expiresAt.toISOString();
    const line = `Client "${client}" has a token from the ${source.replace('_', ' ')} (${reason}), valid until ${expiresAt}.`;
    const recovered = [this.#isOver(event, 'down'), this.#isOver(event, 'degraded')].includes(true);
    const parts = { client, tenant, reason, source, expiresAt, scope };
    this.#write(recovered ? 'log' : 'debug', recovered ? `${line} It recovered.` : line, parts);
    // Tokens that merely replace rejected ones are no sign that the API accepts them.
    if (reason !== 'rejected') this.#isOver(event, 'rejected');
  }

  #failed({ type, client, tenant, reason, expiresAt, error: { code, message } }: FailureEvent): void {
    const parts = { client, tenant, code, reason };
    if (type === 'token_request_failed')
      return this.#write(this.#isNews(parts, 'down') ? 'error' : 'debug', message, parts);
    const known = this.#reported.get(keyOf(parts, 'down')) || !this.#isNews(parts, 'degraded');
    const line = `${message} The present token serves until ${expiresAt?.toISOString()}.`;
    this.#write(known ? 'debug' : 'warn', line, parts);
  }

  #rejected(event: Extract<OAuthClientEvent, { type: 'token_rejected' }>): void {
    const { client, tenant, limited, unshared } = event;
    const parts = { client, tenant, code: 'token_rejected' };
    if (unshared && this.#isNews(parts, 'unshared')) this.#write('warn', displaced(client), parts);
    const replaced = `An API rejected the token of client "${client}"; a new one is requested.`;
    if (!limited) return this.#write('warn', replaced, parts);
    const line = `An API keeps rejecting new tokens of client "${client}"; they are replaced at a limited rate only. Check the token's audience and scope.`;
    this.#write(this.#isNews(parts, 'rejected') ? 'error' : 'debug', line, parts);
  }

  #write(level: 'debug' | 'log' | 'warn' | 'error', message: string, parts: LogParts = {}): void {
    const line = parts.tenant === undefined ? message : ofTenant(message, parts.tenant);
    this.#logger[level](new LogEntry(line, parts));
  }

  #isNews(whose: Whose, trouble: string): boolean {
    const key = keyOf(whose, trouble);
    const isNews = this.#reported.get(key) === undefined;
    this.#reported.set(key, true);
    return isNews;
  }

  #isOver(whose: Whose, trouble: string): boolean {
    return this.#reported.delete(keyOf(whose, trouble));
  }
}

function keyOf({ client, tenant }: Whose, trouble: string): string {
  return JSON.stringify([trouble, client, tenant]);
}

function displaced(client: string): string {
  return `An API rejects tokens of client "${client}" that it accepted before. If the authorization server keeps only one valid token per client, instances replace each other's tokens: share one among them with a store, such as RedisTokenStore.`;
}
