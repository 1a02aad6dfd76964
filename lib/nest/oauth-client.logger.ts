import { inspect } from 'node:util';
import { Logger } from '@nestjs/common';
import type { Observable } from 'rxjs';
import type { OAuthClientEvent } from '../core/events.js';
import type { PartnerFailure } from './partner-failure.js';

type FailureEvent = Extract<OAuthClientEvent, { error: Error; client: string }>;

/** One line for people, its parts for machines: loggers that write JSON take the members, others the sentence. */
export class LogEntry {
  readonly message: string;

  constructor(message: string, parts: Readonly<Record<string, string | number | undefined>> = {}) {
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

/** Tells Nest's Logger what an operator needs to know: one line for each change of state, the rest as debug. */
export class OAuthClientLogger {
  readonly #logger = new Logger('OAuthClient');
  /** The troubles already told, until they are over. */
  readonly #told = new Set<string>();

  follow(events$: Observable<OAuthClientEvent>): void {
    events$.subscribe((event) => this.#log(event));
  }

  /** A handler ended in `failure`: news only if the client's own events did not tell it. */
  handlerFailed({ message, problem: { client = '', code, status } }: PartnerFailure, handler: string): void {
    const trouble = code === 'token_rejected' ? 'rejected' : code === 'closed' ? 'closed' : 'down';
    const level = this.#isNews(client, trouble) ? 'error' : 'debug';
    this.#logger[level](
      new LogEntry(`${handler} failed with ${status}: ${message}`, { client, code, status, handler }),
    );
  }

  /** Something to be put right, that ends nothing. */
  warn(client: string | undefined, message: string): void {
    this.#logger.warn(new LogEntry(message, { client }));
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
        const { client, reason } = event;
        const line = `The token of client "${client}" was invalidated (${reason}).`;
        return this.#logger.debug(new LogEntry(line, { client, reason }));
      }
      case 'store_unavailable':
        return this.#logger.warn(
          new LogEntry(
            `The token store is unavailable: each instance keeps its own tokens until it recovers. ${event.error.message}`,
          ),
        );
      case 'store_recovered':
        return this.#logger.log(new LogEntry('The token store recovered.'));
    }
  }

  #acquired(event: Extract<OAuthClientEvent, { type: 'token_acquired' }>): void {
    const { client, reason, source, expiresAt, scope } = event;
    const until = expiresAt.toISOString();
    const line = `Client "${client}" has a token from the ${source.replace('_', ' ')} (${reason}), valid until ${until}.`;
    const parts = { client, reason, source, expiresAt: until, scope };
    const wasDown = this.#isOver(client, 'down');
    if (this.#isOver(client, 'degraded') || wasDown)
      this.#logger.log(new LogEntry(`${line} It recovered.`, parts));
    else this.#logger.debug(new LogEntry(line, parts));
    // Tokens that merely replace rejected ones are no sign that the API takes them.
    if (reason !== 'rejected') this.#isOver(client, 'rejected');
  }

  #failed({ type, client, reason, expiresAt, error: { code, message } }: FailureEvent): void {
    const parts = { client, code, reason };
    if (type === 'token_request_failed') {
      const level = this.#isNews(client, 'down') ? 'error' : 'debug';
      return this.#logger[level](new LogEntry(message, parts));
    }
    const known = this.#told.has(`down ${client}`) || !this.#isNews(client, 'degraded');
    const line = `${message} The present token serves until ${expiresAt?.toISOString()}.`;
    this.#logger[known ? 'debug' : 'warn'](new LogEntry(line, parts));
  }

  #rejected({ client, limited }: Extract<OAuthClientEvent, { type: 'token_rejected' }>): void {
    const parts = { client, code: 'token_rejected' };
    if (!limited) {
      const line = `An API rejected the token of client "${client}" with 401; a new one is asked for.`;
      return this.#logger.warn(new LogEntry(line, parts));
    }
    const line = `An API goes on rejecting new tokens of client "${client}" with 401; they are replaced at a limited rate only. Check the token's audience and scope.`;
    this.#logger[this.#isNews(client, 'rejected') ? 'error' : 'debug'](new LogEntry(line, parts));
  }

  #isNews(client: string, trouble: string): boolean {
    const key = `${trouble} ${client}`;
    return !this.#told.has(key) && this.#told.add(key).size > 0;
  }

  #isOver(client: string, trouble: string): boolean {
    return this.#told.delete(`${trouble} ${client}`);
  }
}
