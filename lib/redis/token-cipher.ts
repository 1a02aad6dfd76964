import { CompactEncrypt, compactDecrypt } from 'jose';
import { OAuthConfigurationError } from '../core/errors.js';
import type { StoredToken } from '../core/token-store.js';

/** A key for A256GCM: `key` is 32 random bytes in base64url, `id` its public name (`kid`). */
export type EncryptionKey = { id: string; key: string };

/** Keys by id, the encrypting one first; none means clear. */
type KeyRing = ReadonlyMap<string, Uint8Array>;

/** @throws {OAuthConfigurationError} when there is no key, or a malformed one. */
export function readKeys(keys: readonly EncryptionKey[] | 'none' | undefined): KeyRing {
  const list: readonly Partial<EncryptionKey | null>[] = Array.isArray(keys) ? keys : [];
  const sound = list.filter(
    (it): it is EncryptionKey => Boolean(it?.id) && /^[\w-]{43}$/.test(it?.key ?? ''),
  );
  const ring = new Map(sound.map(({ id, key }) => [id, Buffer.from(key, 'base64url')]));
  if (ring.size === list.length && (ring.size > 0 || keys === 'none')) return ring;
  const unset = list.find((it) => it?.id && !it.key);
  const which = unset ? `the key "${unset.id}" is not set; ` : '';
  throw new OAuthConfigurationError([
    `RedisTokenStore: ${which}encryptionKeys must list { id, key }, each id its own and each key 32 bytes in base64url, or be 'none' to ` +
      `store in clear. Make a key: node -e "console.log(require('node:crypto').randomBytes(32).toString('base64url'))"`,
  ]);
}

/**
 * An entry as text: a compact JWE (RFC 7516 §7.1, `dir`, A256GCM) that protects the entry's name as well, or clear
 * JSON. Either way `issuedAt` can be read, for the store to compare.
 */
export async function seal(keys: KeyRing, name: string, token: StoredToken): Promise<string> {
  const clear = JSON.stringify(token);
  const [encrypting] = keys;
  if (!encrypting) return clear;
  const [kid, key] = encrypting;
  const header = { alg: 'dir', enc: 'A256GCM', kid, name };
  const jwe = await new CompactEncrypt(Buffer.from(clear)).setProtectedHeader(header).encrypt(key);
  return JSON.stringify({ issuedAt: token.issuedAt, jwe });
}

/** `undefined` for whatever is not an entry of that name under a known key. */
export async function unseal(keys: KeyRing, name: string, text: string): Promise<StoredToken | undefined> {
  try {
    const entry = JSON.parse(text) as StoredToken & { jwe: string };
    const { value, issuedAt, expiresAt } = entry;
    if (keys.size === 0)
      return typeof value === 'string' && Number.isFinite(issuedAt + expiresAt) ? entry : undefined;
    const keyOf = ({ kid }: { kid?: string }) => keys.get(kid ?? '') ?? new Uint8Array();
    const { plaintext, protectedHeader } = await compactDecrypt(entry.jwe, keyOf, ALGORITHMS);
    const token = JSON.parse(Buffer.from(plaintext).toString()) as StoredToken;
    return protectedHeader['name'] === name && token.issuedAt === entry.issuedAt ? token : undefined;
  } catch {
    return undefined;
  }
}

const ALGORITHMS = { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] };
