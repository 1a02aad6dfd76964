import type { FakeAnswer } from 'nestjs-oauth-client/testing';
import type { FaultScene } from './fault-scene.js';

/** Something that goes wrong. */
export interface Fault {
  name: string;
  behaviours: string;
  /** Brings it about, once the token is in its state. */
  begin(scene: FaultScene): void | Promise<void>;
  end?(scene: FaultScene): Promise<void>;
  /** `answers`: the authorization server hands out tokens all the same. */
  kind: 'retried' | 'not retried' | 'silent' | 'asks to wait' | 'answers' | 'clock';
}

const HOUR_MS = 3_600_000;

function answering(
  behaviours: string,
  kind: Fault['kind'],
  name: string,
  answer: (scene: FaultScene) => FakeAnswer,
): Fault {
  return {
    name,
    behaviours,
    kind,
    begin: (scene) => scene.server.alwaysRespond(answer(scene)),
  };
}

function tooManyRequests(
  kind: Fault['kind'],
  name: string,
  retryAfter?: (scene: FaultScene) => string,
): Fault {
  return answering('25, 26, 28', kind, `429, ${name}`, (scene) => ({
    status: 429,
    headers: retryAfter ? { 'retry-after': retryAfter(scene) } : {},
  }));
}

function dateIn(ms: number) {
  return ({ clock }: FaultScene): string => new Date(clock.now() + ms).toUTCString();
}

export const FAULTS: Fault[] = [
  {
    name: 'down: connections are refused',
    behaviours: '25, 26, 27',
    kind: 'retried',
    begin: ({ server }) => server.stopListening(),
    end: ({ server }) => server.listenAgain(),
  },
  answering('25, 26, 27', 'retried', '500', () => ({ status: 500 })),
  answering('25, 26, 27', 'retried', '503', () => ({ status: 503 })),
  tooManyRequests('retried', 'no `Retry-After`'),
  tooManyRequests('asks to wait', '`Retry-After` of 30 seconds', () => '30'),
  tooManyRequests('asks to wait', '`Retry-After` with a date in 30 seconds', dateIn(30_000)),
  tooManyRequests('retried', '`Retry-After` of 0', () => '0'),
  tooManyRequests('retried', '`Retry-After` with a date gone by', dateIn(-HOUR_MS)),
  tooManyRequests('retried', '`Retry-After` that is garbage', () => 'soon'),
  tooManyRequests('asks to wait', '`Retry-After` of a year', () => String(365 * 24 * 3_600)),
  answering('25, 26, 30', 'silent', 'hangs after it accepted', () => 'hang'),
  answering('25, 26, 30', 'silent', 'hangs after the headers', () => 'hang_after_headers'),
  answering('25, 26, 30', 'silent', 'drips a byte a second', () => 'drip'),
  answering('25, 26, 30', 'retried', 'resets the connection midway', () => 'reset'),
  answering('25, 26, 30', 'retried', 'sends 50 MB', () => 'huge'),
  answering('8, 25, 26', 'retried', 'HTML with status 200', () => 'html'),
  answering('8, 25, 26', 'retried', 'an empty body', () => 'empty'),
  answering('8, 25, 26', 'retried', 'garbage', () => 'garbage'),
  answering('25, 26, 31', 'not retried', 'a redirect to another origin', ({ elsewhere }) => ({
    redirectTo: `${elsewhere.origin}/token`,
  })),
  answering('4, 25, 26', 'not retried', 'a token of another type (`mac`)', ({ server }) =>
    server.nextToken({ access_token: 'access-token-mac', token_type: 'mac' }),
  ),
  answering('25, 26, 27', 'not retried', '401 `invalid_client`', () => ({
    status: 401,
    body: { error: 'invalid_client' },
  })),
  answering('3, 25, 26', 'retried', 'a token that has expired already (`expires_in` 0)', ({ server }) =>
    server.nextToken({ access_token: 'access-token-stale', expires_in: 0 }),
  ),
  answering(
    '22',
    'answers',
    'the same token again, its `expires_in` counted down',
    ({ sameAgain }) => sameAgain,
  ),
  {
    name: 'the clock is set back by an hour',
    behaviours: '23',
    kind: 'clock',
    begin: ({ clock }) => clock.set(-HOUR_MS),
  },
  {
    name: 'the clock is set forward by an hour',
    behaviours: '23',
    kind: 'clock',
    begin: ({ clock }) => clock.set(HOUR_MS),
  },
  {
    name: 'the machine sleeps for two hours',
    behaviours: '23',
    kind: 'clock',
    begin: ({ clock }) => clock.suspend(2 * HOUR_MS),
  },
];
