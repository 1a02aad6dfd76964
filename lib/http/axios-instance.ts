import { createRequire } from 'node:module';
import axios, { type AxiosInstance, type AxiosStatic, type CreateAxiosDefaults } from 'axios';
import { OAuthClientError } from '../core/errors.js';
import { mayFail } from './sealing.js';

/**
 * The build of Axios that made an instance. A CommonJS application has another one than this package imports, and looks for
 * its classes in errors. An unknown build, such as another version, counts as ours.
 */
export function buildOf({ interceptors }: AxiosInstance): AxiosStatic {
  const made = (build: AxiosStatic) =>
    build.interceptors.request.constructor === interceptors.request.constructor;
  if (made(axios)) return axios;
  try {
    // As the application's entry file would; not by `import.meta`, which ts-jest cannot load.
    const other = createRequire(process.argv[1] ?? `${process.cwd()}/`)('axios') as AxiosStatic;
    return made(other) ? other : axios;
  } catch {
    return axios; // the application was started by something that has no Axios
  }
}

/**
 * `axios.create`, whose default headers may also be functions, asked at each request that does not bring that header itself.
 * One that fails rejects the request with `credentials_unavailable`.
 *
 * @param asks false where they are asked later, when it is known which tenant's they are
 * @param build what creates it
 */
export function createInstance(
  client: string,
  defaults: CreateAxiosDefaults,
  asks = true,
  build: AxiosStatic = axios,
): AxiosInstance {
  const headers = Object.entries<unknown>(defaults.headers ?? {});
  const asked = headers.filter(
    (header): header is [string, () => unknown] => typeof header[1] === 'function',
  );
  if (asked.length === 0) return build.create(defaults);
  // Nothing in its place: Axios has an Accept of its own.
  const plain = Object.fromEntries(headers.map(([name, value]) => [name, typeof value === 'function' ? undefined : value])); // prettier-ignore
  const instance = build.create({ ...defaults, headers: plain as CreateAxiosDefaults['headers'] & object });
  instance.interceptors.request.use(async (config) => {
    if (!asks) return config;
    mayFail(config.data);
    for (const [name, ask] of asked) config.headers.set(name, await valueOf(client, name, ask), false);
    return config;
  });
  return instance;
}

/** @throws {OAuthClientError} `credentials_unavailable` */
export async function valueOf(client: string, name: string, ask: () => unknown): Promise<string> {
  const value = await new Promise((resolve) => resolve(ask())).catch(() => undefined);
  if (typeof value === 'string') return value;
  const message = `The function http.headers.${name} of OAuth client "${client}" failed, or returned no text: check it. What it threw is not shown, since it may hold credentials.`;
  throw new OAuthClientError('credentials_unavailable', message, { client, retryable: true });
}
