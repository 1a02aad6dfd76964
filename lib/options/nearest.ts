import { GRANT_TYPES } from './client-options.js';

/** The candidate that `name` most resembles: one that it is another name of, or else one that contains it. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const [, meant] = ALIASES.find(([other]) => other.test(plainName(name))) ?? [];
  const known = candidates.find((candidate) => plainName(candidate) === meant);
  if (known !== undefined) return known;
  const containing = candidates.filter((candidate) => candidate.includes(name));
  const likely = name.length > 2 && containing.length > 0 ? containing : candidates;
  return [...likely].sort((a, b) => editDistance(name, a) - editDistance(name, b))[0];
}

/** The built-in grant that a type is a near miss of: in another case, with other separators, or by its URN. */
export function nearGrantType(type: string): string | undefined {
  const plain = plainName(type.replace(/^urn:ietf:params:oauth:(.*:)?/i, ''));
  const isKnown = GRANT_TYPES.some((known) => known === type);
  return isKnown ? undefined : GRANT_TYPES.find((known) => editDistance(plainName(known), plain) <= 2);
}

/** What partners' pages and other libraries call some values, and some options. */
const ALIASES: readonly [RegExp, string][] = [
  [/^(access)?token(host|path|server|ur[il])$|^(o?auth2?|authorization)(server)?ur[il]$/, 'tokenendpoint'],
  [/^(auth(orization)?server|authority|issuerur[il]|realm)$/, 'issuer'],
  [/^(discovery|wellknown|openidconfiguration)/, 'metadataurl'],
  [/^(app(lication)?|consumer)?id$|^(app|client|consumer)key$|^(client|user)name$|^login$/, 'clientid'],
  [/^((api|app|application|consumer)?secret|(client|user)?password|clientsecretkey)$/, 'clientsecret'],
  [/^(client)?auth(entication)?(method|type)$/, 'tokenendpointauthmethod'],
  [/^(api(base)?|base|resourceserver)?(endpoint|host|ur[il])$|^api(base)?$/, 'baseurl'],
  [/^(max)?(retries|retrycount|attempts)$/, 'retryattempts'],
  [/^(request)?body$/, 'client_secret_post'],
  [/^(authorization)?header$/, 'client_secret_basic'],
  [/^(mtls|mutualtls)$/, 'tls_client_auth'],
  [/^public$/, 'none'],
  [/^ed25519$/, 'EdDSA'],
];

/** The values that a text is another name of, or a part of, or that are part of it. */
export function nearValues(text: string, values: readonly string[]): string[] {
  const plain = plainName(text);
  if (plain.length < 3) return [];
  const named = ALIASES.filter(([name]) => name.test(plain)).map(([, value]) => value);
  const near = (value: string) => plainName(value).includes(plain) || plain.includes(plainName(value));
  return values.filter((value) => named.includes(value) || near(value));
}

/** A name as the most forgiving server reads it: without case, look-alikes, punctuation, and what PHP, Rack or qs take for an index. */
export function plainName(name: string): string {
  const [base = ''] = /[^[\]]*[a-z0-9][^[\]]*/.exec(name.normalize('NFKD').toUpperCase().toLowerCase()) ?? [];
  return base.replace(/[^a-z0-9]/g, '');
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const char of a) {
    let [left = 0] = row;
    row = row.map((above, index) => {
      const substituted = (row[index - 1] ?? Infinity) + (b[index - 1] === char ? 0 : 1);
      left = Math.min(substituted, above + 1, left + 1);
      return left;
    });
  }
  return row.at(-1) ?? 0;
}
