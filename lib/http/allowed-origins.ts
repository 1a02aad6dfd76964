import type { AxiosRequestConfig } from 'axios';

/** What of an Axios request decides where it goes. */
export type RequestTarget = Pick<AxiosRequestConfig, 'baseURL' | 'url' | 'allowAbsoluteUrls'>;

const ABSOLUTE = /^([a-z][a-z\d+\-.]*:)?\/\//i;

/** The origins, with an optional path prefix each, that may receive a client's token. */
export class AllowedOrigins {
  readonly #baseURL: string | undefined;
  readonly #allowed: { origin: string; path: string }[];

  /** @param allowedOrigins origins beside that of `baseURL`; a path, if any, limits them to what lies below. */
  constructor(baseURL: string | undefined, allowedOrigins: readonly string[] = []) {
    this.#baseURL = baseURL;
    this.#allowed = allowedOrigins.map((allowed) => {
      const { origin, pathname } = new URL(allowed);
      return { origin, path: pathname.endsWith('/') ? pathname : `${pathname}/` };
    });
    if (baseURL !== undefined) this.#allowed.push({ origin: new URL(baseURL).origin, path: '/' });
  }

  /** Whether `request` stays within them, as Axios will resolve it. */
  allow(request: RequestTarget): boolean {
    const { baseURL, url = '' } = request;
    // A relative path below our own baseURL cannot leave its origin, and needs no parsing.
    if (baseURL !== undefined && baseURL === this.#baseURL && !ABSOLUTE.test(url)) return true;
    const target = targetOf(request);
    return target !== undefined && this.reach(target) > 0;
  }

  /** How much of `target` an allowed origin covers, to tell the better of two matches; 0 when none does. */
  reach(target: URL): number {
    if (target.username !== '' || target.password !== '') return 0;
    const below = target.pathname.endsWith('/') ? target.pathname : `${target.pathname}/`;
    let reach = 0;
    for (const { origin, path } of this.#allowed) {
      // Some servers decode %2F and %5C before they resolve dots, so a prefix would not hold them.
      const covered = path === '/' || (below.startsWith(path) && !/%2f|%5c/i.test(below));
      if (origin === target.origin && covered) reach = Math.max(reach, path.length);
    }
    return reach;
  }
}

/** The URL that Axios will ask for, without its query; `undefined` when that cannot be told. */
export function targetOf({ baseURL, url = '', allowAbsoluteUrls }: RequestTarget): URL | undefined {
  // Whether Axios puts such a URL below the baseURL depends on its version.
  if (baseURL && allowAbsoluteUrls === false && ABSOLUTE.test(url)) return undefined;
  let full = url;
  if (baseURL && url === '') full = baseURL;
  else if (baseURL && !ABSOLUTE.test(url)) full = `${baseURL.replace(/\/+$/, '')}/${url.replace(/^\/+/, '')}`;
  // Axios gives a protocol-relative URL to the URL parser as it is, which then fails: nowhere to send it.
  return URL.canParse(full) ? new URL(full) : undefined;
}
