import { describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { OAuthConfigurationError } from '../../lib/core/errors.js';
import { RedisTokenStore, type RedisTokenStoreOptions } from '../../lib/redis.js';

const key = randomBytes(32).toString('base64url');
const open = (options: unknown) =>
  new RedisTokenStore('redis://127.0.0.1:1', options as RedisTokenStoreOptions);

describe('encryptionKeys of RedisTokenStore', () => {
  it.each<[string, unknown]>([
    ['a text', 'NONE'],
    ['a list with a hole', [null]],
    ['no options', undefined],
    ['no keys', {}],
    ['an empty list', { encryptionKeys: [] }],
    ['a key that is not set', { encryptionKeys: [{ id: '1', key: undefined }] }],
    ['a key without id', { encryptionKeys: [{ id: '', key }] }],
    ['a key of 31 bytes', { encryptionKeys: [{ id: '1', key: randomBytes(31).toString('base64url') }] }],
    ['a key of 33 bytes', { encryptionKeys: [{ id: '1', key: randomBytes(33).toString('base64url') }] }],
    ['a key in hex', { encryptionKeys: [{ id: '1', key: randomBytes(32).toString('hex') }] }],
    ['a key with other characters', { encryptionKeys: [{ id: '1', key: `${key.slice(1)}=` }] }],
    [
      'a good key and a bad one',
      {
        encryptionKeys: [
          { id: '1', key },
          { id: '2', key: 'secret' },
        ],
      },
    ],
    [
      'an id used twice',
      {
        encryptionKeys: [
          { id: '1', key },
          { id: '1', key },
        ],
      },
    ],
  ])('61. %s → a configuration error that shows how to make a key, never a value', (_, options) => {
    let error: unknown;
    try {
      open(options);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(OAuthConfigurationError);
    const { problems, message } = error as OAuthConfigurationError;
    expect(problems).toEqual([expect.stringMatching(/encryptionKeys .* node -e /)]);
    expect(message).not.toContain(key.slice(1));
    expect(message).not.toContain('secret');
  });

  it('the one-liner in that error makes a good key', () => {
    let command = '';
    try {
      open({});
    } catch (error) {
      command = /node -e "(.*)"/.exec(String(error))![1]!;
    }
    const made = execFileSync(process.execPath, ['-e', command], { encoding: 'utf8' }).trim();
    expect(() => open({ encryptionKeys: [{ id: '1', key: made }] })).not.toThrow();
  });

  it("'none' has to be said", () => {
    expect(() => open({ encryptionKeys: 'none' })).not.toThrow();
  });

  it('a key that is not set is named', () => {
    const unset = { encryptionKeys: [{ id: '2030-01', key: process.env['NO_SUCH_KEY'] }] };
    expect(() => open(unset)).toThrow('RedisTokenStore: the key "2030-01" is not set; encryptionKeys must');
  });
});

describe('the connection of RedisTokenStore', () => {
  it.each([undefined, null, ''])('%p is no default, but a variable that is not set', (redis) => {
    expect(() => new RedisTokenStore(redis as string, { encryptionKeys: 'none' })).toThrow(
      OAuthConfigurationError,
    );
  });
});

describe('the URL of Redis', () => {
  const PASSWORD = 'hunter2-secret';
  it.each([
    `redis://user:${PASSWORD}#x@127.0.0.1:6379`,
    `redis://:12#${PASSWORD}@127.0.0.1:6379`,
    `redis://:${PASSWORD}/x@127.0.0.1:6379`,
    `redis://user:12/${PASSWORD}@127.0.0.1:6379`,
    `redis://user:12?${PASSWORD}@127.0.0.1:6379`,
    `redis://:${PASSWORD}%@127.0.0.1:6379`,
    `rediss:/:${PASSWORD}@127.0.0.1:6379`,
    `redis//:${PASSWORD}@127.0.0.1:6379`,
    `redis:${PASSWORD}@127.0.0.1:6379`,
    `http://:${PASSWORD}@127.0.0.1:6379`,
    `//:${PASSWORD}@127.0.0.1:6379`,
    `:${PASSWORD}@127.0.0.1:6379`,
    ` redis://:${PASSWORD}@127.0.0.1:6379`,
    `redis://:${PASSWORD}@`,
    `redis://:${PASSWORD}@127.0.0.1:99999`,
  ])('66. a mistake in it is a problem at construction, without the URL (%#)', (url) => {
    const problem = failure(() => new RedisTokenStore(url, { encryptionKeys: 'none' }));
    expect(problem).toMatchObject({
      code: 'configuration_invalid',
      problems: [expect.stringMatching(/^The URL given/)],
    });
    expect(inspect(problem, { depth: 9, showHidden: true })).not.toContain(PASSWORD);
  });

  it.each([
    'redis://127.0.0.1:1',
    'redis://:pa%23ss%2F@127.0.0.1:1/2',
    'rediss://user:p@ss@127.0.0.1:1/0?family=4',
    'redis://[::1]:1/',
  ])('%s is one', async (url) => {
    await new RedisTokenStore(url, { encryptionKeys: 'none' }).close();
  });
});

function failure(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('It did not fail.');
}
