/** An API's answer, as far as it may show that its token is not accepted. */
export interface Answer {
  readonly status: number;
  header(name: string): unknown;
  /** All of them, by lower-case name. */
  headers(): Record<string, string>;
  /** Parsed where it is JSON, else its text; `undefined` where it is streamed. */
  data(): unknown;
}

type When = (answer: { status: number; headers: Record<string, string>; data: unknown }) => boolean;

/** Which answers of an API mean that it does not accept a token. */
export class Refusals {
  /** Whether a refused request is sent once more. */
  readonly retry: boolean;
  readonly #statuses: readonly number[];
  readonly #when: When | undefined;
  readonly #warn: () => void;
  #warned = false;

  /** @param warn called once, when `when` throws or returns no boolean */
  constructor(
    options: { statuses: readonly number[]; retry: boolean; when?: When | undefined },
    warn: () => void,
  ) {
    this.retry = options.retry;
    this.#statuses = options.statuses;
    this.#when = options.when;
    this.#warn = warn;
  }

  /** Whether `data` is looked at, beside status and headers. */
  get readsData(): boolean {
    return this.#when !== undefined;
  }

  includes(answer: Answer): boolean {
    const { status } = answer;
    if (status >= 400 && status < 500) {
      const challenges = [answer.header('www-authenticate')].flat();
      const challenge = challenges.filter((one) => typeof one === 'string').join();
      if (/\berror\s*=\s*"?invalid_token\b/i.test(challenge)) return true;
      // Another token has the same rights (RFC 6750 §3.1). A 401 that says so is a misleading one.
      if (status !== 401 && /\berror\s*=\s*"?insufficient_scope\b/i.test(challenge)) return false;
    }
    return this.#statuses.includes(status) || (this.#when !== undefined && this.#ask(this.#when, answer));
  }

  #ask(when: When, answer: Answer): boolean {
    try {
      const verdict: unknown = when({
        status: answer.status,
        headers: answer.headers(),
        data: answer.data(),
      });
      if (typeof verdict === 'boolean') return verdict;
    } catch {
      // What it threw may hold the answer.
    }
    if (!this.#warned) this.#warn();
    this.#warned = true;
    return false;
  }
}
