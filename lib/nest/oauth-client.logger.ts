import { Logger } from '@nestjs/common';
import type { Observable } from 'rxjs';
import type { OAuthClientEvent } from '../core/events.js';

/** Tells Nest's Logger what an operator needs to know: one line for each change of state, the rest as debug. */
export class OAuthClientLogger {
  readonly #logger = new Logger('OAuthClient');
  readonly #failing = new Set<string>();
  readonly #limited = new Set<string>();

  follow(events$: Observable<OAuthClientEvent>): void {
    events$.subscribe((event) => this.#log(event));
  }

  #log(event: OAuthClientEvent): void {
    switch (event.type) {
      case 'token_acquired': {
        const { client, reason, source, expiresAt } = event;
        const line = `Client "${client}" has a token from the ${source.replace('_', ' ')} (${reason}), valid until ${expiresAt.toISOString()}.`;
        if (this.#failing.delete(client)) this.#logger.log(`${line} It recovered.`);
        else this.#logger.debug(line);
        if (reason !== 'rejected') this.#limited.delete(client);
        return;
      }
      case 'token_refresh_failed':
      case 'token_request_failed': {
        const { client, error } = event;
        const known = this.#failing.has(client);
        this.#failing.add(client);
        if (known) this.#logger.debug(error.message);
        else if (event.type === 'token_request_failed') this.#logger.error(error.message);
        else
          this.#logger.warn(
            `${error.message} The present token serves until ${event.expiresAt?.toISOString()}.`,
          );
        return;
      }
      case 'token_rejected': {
        const { client, limited } = event;
        if (!limited)
          this.#logger.warn(
            `An API rejected the token of client "${client}" with 401; a new one is asked for.`,
          );
        else if (!this.#limited.has(client)) {
          this.#logger.error(
            `An API goes on rejecting new tokens of client "${client}" with 401; they are replaced at a limited rate only. Check the token's audience and scope.`,
          );
          this.#limited.add(client);
        }
        return;
      }
      case 'token_invalidated':
        return this.#logger.debug(`The token of client "${event.client}" was invalidated (${event.reason}).`);
      case 'store_unavailable':
        return this.#logger.warn(
          `The token store is unavailable: each instance keeps its own tokens until it recovers. ${event.error.message}`,
        );
      case 'store_recovered':
        return this.#logger.log('The token store recovered.');
    }
  }
}
