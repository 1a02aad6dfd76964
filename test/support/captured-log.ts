import type { LoggerService, LogLevel } from '@nestjs/common';

interface Line {
  level: LogLevel;
  message: unknown;
  rest: unknown[];
}

/** Nest's log, kept. */
export class CapturedLog implements LoggerService {
  readonly lines: Line[] = [];

  readonly log = this.#keep('log');
  readonly error = this.#keep('error');
  readonly warn = this.#keep('warn');
  readonly debug = this.#keep('debug');
  readonly verbose = this.#keep('verbose');
  readonly fatal = this.#keep('fatal');

  #keep(level: LogLevel) {
    return (message: unknown, ...rest: unknown[]) => void this.lines.push({ level, message, rest });
  }

  /** Each line as text, of Nest itself too. */
  get texts(): string[] {
    return this.lines.map(({ message, rest }) => [message, ...rest].map(String).join(' '));
  }

  /** The library's own lines at these levels. */
  told(...levels: LogLevel[]): string[] {
    return this.#own(levels).map(({ level, message }) => `${level}: ${String(message)}`);
  }

  /** The same as the objects that were logged. */
  entries(...levels: LogLevel[]): unknown[] {
    return this.#own(levels).map(({ message }) => message);
  }

  #own(levels: LogLevel[]): Line[] {
    return this.lines.filter(({ rest, level }) => rest.at(-1) === 'OAuthClient' && levels.includes(level));
  }
}
