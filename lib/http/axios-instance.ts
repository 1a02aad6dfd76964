import axios, { type AxiosInstance, type CreateAxiosDefaults } from 'axios';

/** `axios.create`, whose default headers may also be functions, asked at each request that does not bring that header itself. */
export function createInstance(defaults: CreateAxiosDefaults): AxiosInstance {
  const headers = Object.entries<unknown>(defaults.headers ?? {});
  const asked = headers.filter(
    (header): header is [string, () => unknown] => typeof header[1] === 'function',
  );
  if (asked.length === 0) return axios.create(defaults);
  const plain = Object.fromEntries(headers.filter(([, value]) => typeof value !== 'function'));
  const instance = axios.create({ ...defaults, headers: plain as CreateAxiosDefaults['headers'] & object });
  instance.interceptors.request.use(async (config) => {
    for (const [name, ask] of asked) config.headers.set(name, String(await ask()), false);
    return config;
  });
  return instance;
}
