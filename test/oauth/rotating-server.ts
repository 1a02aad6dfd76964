import { FakeAuthorizationServer, type FakeAnswer, type RecordedRequest } from 'nestjs-oauth-client/testing';

/**
 * An authorization server that rotates the refresh tokens `rt0`, `rt1`, … With `leeway` one works again until its
 * successor was used, as on servers that reckon with lost answers; without, a second use revokes the whole grant
 * (RFC 9700 §4.14.2).
 */
export class RotatingServer {
  readonly fake: FakeAuthorizationServer;
  leeway = true;
  /** Refresh tokens in the order they came. */
  readonly sent: string[] = [];
  /** How many token requests were under way at once, at most. */
  concurrency = 0;
  /** Called when a request came, and when it was processed but not answered; with `false` it goes no further. */
  onStep: (step: 'asked' | 'rotated') => Promise<boolean> = async () => true;
  #latest = 0;
  #first = 0;
  #revoked = false;
  #underWay = 0;

  private constructor(fake: FakeAuthorizationServer) {
    this.fake = fake;
    fake.alwaysRespond((request) => this.#answer(request));
  }

  static async start(): Promise<RotatingServer> {
    return new RotatingServer(await FakeAuthorizationServer.start());
  }

  /** A new consent: all earlier refresh tokens are dead, the one it returns lives. */
  renew(): string {
    this.#revoked = false;
    this.#first = ++this.#latest;
    return `rt${this.#latest}`;
  }

  async #answer({ form }: RecordedRequest): Promise<FakeAnswer> {
    this.concurrency = Math.max(this.concurrency, ++this.#underWay);
    try {
      if (!(await this.onStep('asked'))) return 'hang';
      if (!this.#redeem(form!.get('refresh_token') ?? ''))
        return { status: 400, body: { error: 'invalid_grant' } };
      if (!(await this.onStep('rotated'))) return { status: 502 };
      return this.fake.nextToken({ refresh_token: `rt${this.#latest}`, expires_in: 3600 + this.sent.length });
    } finally {
      this.#underWay--;
    }
  }

  #redeem(refreshToken: string): boolean {
    this.sent.push(refreshToken);
    const number = Number(refreshToken.replace('rt', ''));
    if (this.#revoked || number < this.#first) return false;
    if (number === this.#latest) {
      this.#latest++;
      return true;
    }
    this.#revoked = !this.leeway;
    return this.leeway && number === this.#latest - 1;
  }

  close(): Promise<void> {
    return this.fake.close();
  }
}
