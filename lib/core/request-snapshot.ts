import { OAuthConfigurationError } from './errors.js';
import { SCOPE_CHARACTERS, type TokenRequest } from './token-request.js';

/** A copy of the request that a caller passed, and its problems. */
export interface RequestSnapshot {
  readonly request: Readonly<TokenRequest & { client?: string }>;
  /** One for each member that does not fit. They name the member, and never a value. */
  readonly problems: readonly string[];
}

/** Returns a copy of a valid value. */
type Copy = (value: unknown) => unknown;

const TEXT = 'must be a text that is not blank';
const TEXTS = 'must be a text that is not blank, or a list of them';
const MEMBERS = Object.entries<readonly [Copy, string]>({
  client: [textOf, TEXT],
  scope: [scopeOf, 'must be scope values separated by spaces (RFC 6749 §3.3)'],
  audience: [textsOf, TEXTS],
  resource: [textsOf, TEXTS],
  parameters: [parametersOf, 'must be a plain object whose values are texts or lists of texts'],
  // The grant reports an empty one.
  subjectToken: [(value) => (value === '' ? value : textOf(value)), TEXT],
  // The client reports a blank one.
  tenant: [(value) => (typeof value === 'string' ? value : undefined), 'must be a text'],
  forceRefresh: [(value) => (typeof value === 'boolean' ? value : undefined), 'must be true or false'],
  signal: [(value) => ('addEventListener' in Object(value) ? value : undefined), 'must be an AbortSignal'],
});

/** Copies what a caller passes. Each member is read once: getters and proxies may answer differently the next time. */
export function snapshotOf(passed: unknown): RequestSnapshot {
  if (!isObject(passed) || isOtherwise(passed))
    return { request: {}, problems: ['the token request must be an object'] };
  const request: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, [copyOf, says]] of MEMBERS) {
    try {
      const value: unknown = Reflect.get(passed, name);
      if (value === undefined) continue;
      const copy = copyOf(value);
      if (copy === undefined) problems.push(`${name} of the token request ${says}`);
      else request[name] = copy;
    } catch {
      problems.push(`${name} of the token request cannot be read`);
    }
  }
  return { request: Object.freeze(request), problems };
}

/** @throws {OAuthConfigurationError} with each member that does not fit */
export function checked(client: string | undefined, { request, problems }: RequestSnapshot) {
  if (problems.length === 0) return request;
  const whose = client === undefined ? 'API request' : `Client "${client}"`;
  const sentences = problems.map((problem) => `${whose}: ${problem}.`);
  throw new OAuthConfigurationError(sentences, client);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Whether it is a list, a `Map` or a promise, none of whose contents would be read: it would lead to the token for everybody. */
function isOtherwise(value: object): boolean {
  try {
    return Symbol.iterator in value || 'then' in value;
  } catch {
    return false; // its members are reported
  }
}

/** A blank text would not be sent, and would lead to a token for everybody. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

function scopeOf(value: unknown): string | undefined {
  const scope = textOf(value);
  return scope !== undefined && SCOPE_CHARACTERS.test(scope) ? scope : undefined;
}

function textsOf(value: unknown): unknown {
  if (!Array.isArray(value)) return textOf(value);
  const texts = [...(value as unknown[])];
  return texts.length > 0 && texts.every((text) => textOf(text)) ? Object.freeze(texts) : undefined;
}

/** Takes plain objects only: the entries of a Map, or the state of an instance, are not members. */
function parametersOf(value: unknown): unknown {
  const prototype: unknown = isObject(value) ? Object.getPrototypeOf(value) : value;
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return undefined;
  const copies = Object.entries(value as object).map(([name, member]: [string, unknown]) => {
    return [name, Array.isArray(member) ? Object.freeze([...(member as unknown[])]) : member] as const;
  });
  const fits = copies.every(([, copy]) => [copy].flat().every((text) => typeof text === 'string'));
  return fits ? Object.freeze(Object.fromEntries(copies)) : undefined;
}
