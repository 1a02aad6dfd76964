import { CLIENT_PARAMETERS, isTaken } from './parameter-names.js';

/** A parameter of a grant: a text or a function, under a name that the client's authentication leaves free. */
export function isSource([name, value]: [string, unknown]): boolean {
  return !isTaken(name, CLIENT_PARAMETERS) && value !== '' && /^(string|function)$/.test(typeof value);
}

/** The name and value of a header field (RFC 9110 §5.1, §5.5). */
export function isHeader([name, value]: [string, unknown]): boolean {
  const isOurs = /^(content-length|transfer-encoding|dpop)$/i.test(name);
  return (
    /^[\w!#$%&'*+.^`|~-]+$/.test(name) && !isOurs && (typeof value === 'function' || isHeaderValue(value))
  );
}

/** Whether a header can carry the text as it is. */
export function isHeaderValue(value: unknown): value is string {
  return typeof value === 'string' && value.trim() === value && /^[\t\x20-\x7e\x80-\xff]+$/.test(value);
}

/** Whether JSON can say it, as it is. */
export function isJson(value: unknown, depth = 0): boolean {
  if (typeof value === 'object' && value !== null && depth < 16)
    return Object.values(value).every((inner) => isJson(inner, depth + 1));
  return value === null || /^(string|boolean)$/.test(typeof value) || Number.isFinite(value);
}

/** A JSON object, or a query string where texts will do. */
export function readMembers(text: string): unknown {
  try {
    return text.startsWith('{') ? JSON.parse(text) : readQuery(text);
  } catch {
    return text; // reported with all the rest
  }
}

/** What a query string says, names that come more than once as lists. */
export function readQuery(text: string): Record<string, string | string[]> {
  return recordOf(new URLSearchParams(text));
}

/** Parameters as an object; those that come more than once as lists. */
export function recordOf(parameters: URLSearchParams): Record<string, string | string[]> {
  const lists = [...parameters.keys()].map((name) => [name, parameters.getAll(name)] as const);
  return Object.fromEntries(lists.map(([name, list]) => [name, list.length > 1 ? list : list.join('')]));
}
