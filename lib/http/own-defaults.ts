import { isDeepStrictEqual } from 'node:util';
import { AxiosHeaders, type CreateAxiosDefaults, type InternalAxiosRequestConfig } from 'axios';
import type { ApiClient } from './api-client.js';
import { valueOf } from './axios-instance.js';
import { sealConfig } from './sealing.js';

/**
 * A request with its client's own defaults in place of those of its instance. What the caller set stays, and so do the
 * instance's transforms, which Axios has already run.
 */
export async function withDefaultsOf<C extends InternalAxiosRequestConfig>(
  config: C,
  instance: CreateAxiosDefaults,
  { client, defaults }: Pick<ApiClient, 'client' | 'defaults'>,
): Promise<C> {
  const { headers, ...own } = defaults;
  const copy = { ...overlaid(config, instance, own), headers: new AxiosHeaders(config.headers) } as C;
  sealConfig(copy);
  const { method = 'get' } = config;
  const commonHeaders = headersFor(method, instance.headers) as [string, string][];
  const common = new AxiosHeaders(Object.fromEntries(commonHeaders));
  for (const [name, value] of headersFor(method, headers)) {
    const present = copy.headers.get(name) ?? undefined;
    if (present !== undefined && present !== common.get(name)) continue;
    const said = typeof value === 'function' ? await valueOf(client.name, name, value) : value;
    copy.headers.set(name, said);
  }
  return copy;
}

/** The common headers of a client under those of a request of fetch, by lower-case names. */
export async function withHeadersOf(
  own: Record<string, string>,
  method: string,
  { client, defaults }: Pick<ApiClient, 'client' | 'defaults'>,
): Promise<Record<string, string>> {
  const common = headersFor(method, defaults.headers).map(
    (header) => [header[0].toLowerCase(), header] as const,
  );
  const headers: Record<string, string> = {};
  for (const [lower, [name, value]] of new Map(common)) {
    if (Object.hasOwn(own, lower)) continue;
    headers[lower] = typeof value === 'function' ? await valueOf(client.name, name, value) : value;
  }
  return { ...headers, ...own };
}

function overlaid(given: object, instance: object, own: object): object {
  const result: Record<string, unknown> = { ...given };
  for (const [name, value] of Object.entries(own)) {
    const [present, common]: unknown[] = [result[name], Reflect.get(instance, name)];
    const isPlain = Array.isArray(present) || Object.getPrototypeOf(present ?? []) === Object.prototype;
    if (present === common || (isPlain && isDeepStrictEqual(present, common))) result[name] = value;
    else if (name === 'params' && isPlain)
      result[name] = overlaid(present as object, common ?? {}, value as object);
  }
  return result;
}

/** Those for one method among the defaults that Axios takes. */
function headersFor(method: string, given: object = {}): [string, string | (() => unknown)][] {
  const { common, [method.toLowerCase()]: own, ...rest } = given as Record<string, object>;
  const all = Object.entries({ ...common, ...own, ...rest });
  return all.filter(([, value]) => typeof value !== 'object') as ReturnType<typeof headersFor>;
}
