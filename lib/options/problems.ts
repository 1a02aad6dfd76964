import type { OAuthClientOptions } from './client-options.js';
import { nearest } from './nearest.js';
import { isRecord } from './option-kinds.js';
import { RULES, type Examined } from './option-rules.js';
import { OPTION_SCHEMA, flatten, groupOf, membersOf, without } from './option-schema.js';
import { withDefaults } from './resolved-options.js';

/** How a problem names an option: by its path, or by its variable. */
export type OptionLabel = (path: string) => string;

/**
 * Everything that is wrong with one client: a sentence each with client, option and remedy, never a value.
 *
 * @param own the client's own part of the options: a default that this client has no use for is no problem
 */
export function problemsOf(
  name: string,
  options: OAuthClientOptions,
  label: OptionLabel,
  own: OAuthClientOptions = options,
): string[] {
  const given = flatten(options);
  const unfit = new Map(
    [...given].flatMap(([path, value]): [string, string][] => {
      const kind = OPTION_SCHEMA[path];
      if (kind === undefined) return [[path, unknown(path)]];
      return kind.accepts(value) ? [] : [[path, kind.says]];
    }),
  );
  const ownPaths = flatten(own);
  const sound = withDefaults(without(options, [...unfit.keys()]));
  const examined: Examined = {
    options: sound,
    method: unfit.has('tokenEndpointAuthMethod') ? '' : withDefaults(options).tokenEndpointAuthMethod,
    has: (path, whose) =>
      (whose === 'own' ? ownPaths : given).has(path) || isRecord(options[path as keyof OAuthClientOptions]),
  };
  const broken = RULES.filter(
    ({ path, isBroken }) => !unfit.has(path) && !unfit.has(groupOf(path)) && isBroken(examined),
  );
  const filled = (says: string) =>
    says
      .replace('$method', examined.method)
      .replace('$grant', sound.grant.type)
      .replace(/\{([\w.]+)\}/g, (_, path: string) => label(path));
  return [...unfit, ...broken.map(({ path, says }) => [path, filled(says)] as const)].map(
    ([path, what]) => `Client "${name}": ${label(path)} ${what}${what.endsWith('?') ? '' : '.'}`,
  );
}

/** The end of the sentence about an option that does not exist, or that should be an object. */
function unknown(path: string): string {
  const members = membersOf(path).map((known) => known.slice(path.length + 1));
  if (members.length > 0) return `must be an object with the members ${members.join(', ')}`;
  const siblings = membersOf(groupOf(path));
  return `is not an option; did you mean ${nearest(path, siblings.length > 0 ? siblings : Object.keys(OPTION_SCHEMA))}?`;
}
