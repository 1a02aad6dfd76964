import { GRANT_TYPES } from './client-options.js';

/** The candidate that `name` most resembles: one that it is another name of, or else one that contains it. Case and separators do not matter. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const plain = plainName(name);
  const [, meant] = ALIASES.find(([other]) => other.test(plain)) ?? [];
  const known = candidates.find((candidate) => plainName(candidate) === meant);
  if (known !== undefined) return known;
  const distance = (candidate: string) => editDistance(name.toLowerCase(), candidate.toLowerCase());
  const closest = (among: readonly string[]) => among.toSorted((a, b) => distance(a) - distance(b))[0];
  const containing = candidates.filter((candidate) => plainName(candidate).includes(plain));
  const isTypo = candidates.some((candidate) => distance(candidate) <= 2);
  return closest(isTypo || plain.length <= 2 || containing.length === 0 ? candidates : containing);
}

/** The built-in grant that a type is a near miss of: in another case, with other separators, or by its URN. */
export function nearGrantType(type: string): string | undefined {
  const plain = plainName(
    type.replace(/^(urn:)?(ietf:)?params?:oauth:(.*:)?|^(oauth:)?grant.?type[:=]/i, ''),
  );
  const isKnown = GRANT_TYPES.some((known) => known === type);
  return isKnown ? undefined : GRANT_TYPES.find((known) => editDistance(plainName(known), plain) <= 2);
}

/** What partners' pages and other libraries call some values, and some options. */
const ALIASES: readonly [RegExp, string][] = [
  [
    /^(oauth2?)?(access)?token(host|path|server|ur[il])$|^(o?auth2?|authorization|login)(server)?ur[il]$|^oauth2?server$/,
    'tokenendpoint',
  ],
  [/^(auth(orization)?server|authority|issuerur[il]|realm|domain)$/, 'issuer'],
  [/^(discovery|wellknown|openidconfiguration)/, 'metadataurl'],
  [
    /^(app(lication)?|consumer)?id$|^(api|app|client|consumer)key$|^((client|user)name|user)$|^login$/,
    'clientid',
  ],
  [/^((api|app|application|client|consumer)?secret(key)?|(client|user)?pass(word|wd)?)$/, 'clientsecret'],
  [/^(client)?auth(entication)?(method|type|style)?$/, 'tokenendpointauthmethod'],
  [/^(api(base)?|base|resourceserver)?(endpoint|hosts?|ur[il])$|^api(base)?$/, 'baseurl'],
  [/^permissions?$/, 'scope'],
  [/^(extra|additional|custom)param(eter)?s$/, 'parameters'],
  [/^(default|token)?(ttl|lifetime(ms)?|expir(y|es(in)?|ation))$/, 'defaultlifetimems'],
  [/^(request|http|token)timeout(ms)?$/, 'timeoutms'],
  [/^alg(orithm)?$/, 'signingalgorithm'],
  [/^(signing|rsa)?key(pem)?$|^pem$|^jwk$/, 'privatekey'],
  [/^dpopkey$/, 'dpopprivatekey'],
  [/^(client|tls)cert(ificate)?$/, 'tlscert'],
  [/^privatekeyid$/, 'keyid'],
  [/^contenttype$/, 'requestformat'],
  [/^(preset|provider)$/, 'partner'],
  [/^(max)?(retries|retrycount|attempts)$/, 'retryattempts'],
  [/^retrydelay(ms)?$/, 'retrymindelayms'],
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

/**
 * A name as the most forgiving server reads it: decoded twice, without case, look-alikes, punctuation, what follows a NUL, and
 * what PHP, Rack or qs take for an index. A bracket that is never closed is an underscore to PHP.
 */
export function plainName(name: string): string {
  const decoded = name.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  const indexed = decoded.replace(/\[(?=[^\]]*$)/, '_');
  const folded = indexed.normalize('NFKD').toUpperCase().toLowerCase();
  const [base = ''] = /[^[\]\0]*[a-z0-9][^[\]\0]*/.exec(folded) ?? [];
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
