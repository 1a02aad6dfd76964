import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ConsoleLogger, Logger, type ConsoleLoggerOptions } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  AuthorizationServerUnavailableError,
  OAuthClientModule,
  OAuthTokenService,
  TokenRequestError,
  type OAuthClientEvent,
} from 'nestjs-oauth-client';
import { Subject } from 'rxjs';
import { OAuthClientLogger } from '../../lib/nest/oauth-client.logger.js';
import { PartnerFailure } from '../../lib/nest/partner-failure.js';
import { CapturedLog } from '../support/captured-log.js';
import { clientOf, startServer } from '../support/server.js';

const expiresAt = new Date('2026-01-02T03:04:05.000Z');
const unavailable = new AuthorizationServerUnavailableError('The server of "buoy" is away.', {
  client: 'buoy',
});
const rejected = new TokenRequestError('The server refuses "buoy".', { client: 'buoy', status: 401 });
const base = { client: 'buoy', durationMs: 12 };

const acquired = {
  ...base,
  type: 'token_acquired',
  reason: 'cold',
  source: 'authorization_server',
  expiresAt,
  scope: 'read',
} as const;
const refreshFailed = {
  ...base,
  type: 'token_refresh_failed',
  reason: 'refresh_ahead',
  expiresAt,
  error: unavailable,
} as const;
const requestFailed = {
  ...base,
  type: 'token_request_failed',
  reason: 'expired',
  error: unavailable,
} as const;
const apiRejected = {
  client: 'buoy',
  type: 'token_rejected',
  reason: 'rejected',
  limited: false,
  expiresAt,
} as const;
const limited = { ...apiRejected, limited: true };

const HAS =
  'Client "buoy" has a token from the authorization server (cold), valid until 2026-01-02T03:04:05.000Z.';
const SERVES = 'The server of "buoy" is away. The present token serves until 2026-01-02T03:04:05.000Z.';
const REJECTED = 'An API rejected the token of client "buoy"; a new one is requested.';
const LIMITED =
  'An API keeps rejecting new tokens of client "buoy"; they are replaced at a limited rate only. Check the token\'s audience and scope.';

describe('the log', () => {
  let log: CapturedLog;
  let events$: Subject<OAuthClientEvent>;
  let logger: OAuthClientLogger;
  beforeEach(() => {
    log = new CapturedLog();
    Logger.overrideLogger(log);
    logger = new OAuthClientLogger();
    logger.follow((events$ = new Subject()));
  });
  afterEach(() => Logger.overrideLogger(false));

  const linesOf = (...events: OAuthClientEvent[]) => {
    log.lines.length = 0;
    for (const event of events) events$.next(event);
    return log.told('debug', 'log', 'warn', 'error', 'fatal', 'verbose');
  };

  it('tokens that come are no news', () => {
    expect(linesOf(acquired, { ...acquired, reason: 'refresh_ahead' })).toEqual([
      `debug: ${HAS}`,
      `debug: ${HAS.replace('cold', 'refresh_ahead')}`,
    ]);
    expect(linesOf({ ...acquired, source: 'store' })).toEqual([
      `debug: ${HAS.replace('authorization server', 'store')}`,
    ]);
  });

  it('fresh → degraded → down → fresh: one line each, what comes between is debug', () => {
    expect(linesOf(acquired, refreshFailed, refreshFailed)).toEqual([
      `debug: ${HAS}`,
      `warn: ${SERVES}`,
      `debug: ${SERVES}`,
    ]);
    expect(linesOf(requestFailed, requestFailed, refreshFailed)).toEqual([
      'error: The server of "buoy" is away.',
      'debug: The server of "buoy" is away.',
      `debug: ${SERVES}`,
    ]);
    expect(linesOf(acquired, acquired)).toEqual([`log: ${HAS} It recovered.`, `debug: ${HAS}`]);
    expect(linesOf(requestFailed)).toEqual(['error: The server of "buoy" is away.']);
  });

  it('each client has a state of its own', () => {
    const other = { ...requestFailed, client: 'honeybee', error: rejected };
    expect(linesOf(requestFailed, other, requestFailed, other)).toEqual([
      'error: The server of "buoy" is away.',
      'error: The server refuses "buoy".',
      'debug: The server of "buoy" is away.',
      'debug: The server refuses "buoy".',
    ]);
  });

  it('401s of an API: each replaced token, then once that they go on', () => {
    const replaced = { ...acquired, reason: 'rejected' } as const;
    expect(linesOf(apiRejected, replaced, limited, limited, replaced, limited)).toEqual([
      `warn: ${REJECTED}`,
      `debug: ${HAS.replace('cold', 'rejected')}`,
      `error: ${LIMITED}`,
      `debug: ${LIMITED}`,
      `debug: ${HAS.replace('cold', 'rejected')}`,
      `debug: ${LIMITED}`,
    ]);
    expect(linesOf({ ...acquired, reason: 'refresh_ahead' }, limited)).toEqual([
      expect.any(String),
      `error: ${LIMITED}`,
    ]);
  });

  it('90. Accepted tokens that are rejected again and again: once that a shared store may be needed', () => {
    const displaced = { ...apiRejected, unshared: true };
    const lines = linesOf(apiRejected, displaced, displaced);
    expect(lines.filter((line) => line !== `warn: ${REJECTED}`)).toEqual([
      expect.stringMatching(/^warn: .*"buoy".*one valid token per client.*RedisTokenStore/),
    ]);
    expect(lines).toHaveLength(4);
  });

  it('invalidated tokens are debug; the store tells of its end and its return', () => {
    expect(linesOf({ type: 'token_invalidated', client: 'buoy', reason: 'forced' })).toEqual([
      'debug: The token of client "buoy" was invalidated (forced).',
    ]);
    expect(
      linesOf({ type: 'store_unavailable', error: new Error('No answer.') }, { type: 'store_recovered' }),
    ).toEqual([
      'warn: The token store is unavailable: each instance keeps its own tokens until it recovers. No answer.',
      'log: The token store recovered.',
    ]);
  });

  it("a handler's failure is told once: by the event where there was one, else by itself", () => {
    const failed = (error: Error) => {
      log.lines.length = 0;
      logger.handlerFailed(PartnerFailure.of(error)!, 'TriageController.ask');
      return log.told('debug', 'warn', 'error');
    };
    const line =
      'TriageController.ask failed with 503: The partner behind "buoy" cannot authorise us at present.';
    linesOf(requestFailed);
    expect(failed(unavailable)).toEqual([`debug: ${line}`]);
    linesOf(acquired);
    expect([failed(unavailable), failed(unavailable)]).toEqual([[`error: ${line}`], [`debug: ${line}`]]);
    expect(log.entries('debug')).toEqual([
      {
        message: line,
        client: 'buoy',
        code: 'authorization_server_unavailable',
        status: 503,
        handler: 'TriageController.ask',
      },
    ]);
  });
});

describe('the log in the forms of Nest', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  async function written(options: ConsoleLoggerOptions): Promise<string[]> {
    const chunks: string[] = [];
    for (const stream of [process.stdout, process.stderr]) {
      jest.spyOn(stream, 'write').mockImplementation((chunk) => chunks.push(String(chunk)) > 0);
    }
    await using server = await startServer();
    server.respondWith({ status: 401, body: { error: 'invalid_client' } });
    const imports = [OAuthClientModule.forRoot({ clients: { buoy: clientOf(server) } })];
    const module = await Test.createTestingModule({ imports })
      .setLogger(new ConsoleLogger(options))
      .compile();
    await expect(module.get(OAuthTokenService).getToken('buoy')).rejects.toThrow('invalid_client');
    await module.close();
    return chunks.join('').trim().split('\n');
  }

  const sentence =
    'The authorization server rejected the token request of OAuth client "buoy" with status 401: invalid_client. Check clientId and clientSecret; if they are right, try client_secret_post as tokenEndpointAuthMethod.';

  it('text: one line with the sentence', async () => {
    const lines = await written({ colors: false, logLevels: ['error'] });
    expect(lines).toEqual([
      expect.stringMatching(/ ERROR \[OAuthClient\] The authorization server rejected/),
    ]);
    expect(lines[0]).toContain(sentence);
  });

  it('JSON: the sentence and its parts', async () => {
    const [line, ...others] = await written({ json: true, colors: false, logLevels: ['error'] });
    expect(others).toEqual([]);
    expect(JSON.parse(line!)).toMatchObject({
      level: 'error',
      context: 'OAuthClient',
      message: { message: sentence, client: 'buoy', code: 'token_request_rejected', reason: 'cold' },
    });
  });
});
