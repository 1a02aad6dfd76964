import type { AxiosRequestConfig } from 'axios';

/** The members of an Axios request that decide where it goes. */
export type RequestTarget = Pick<AxiosRequestConfig, 'baseURL' | 'url' | 'allowAbsoluteUrls' | 'socketPath'>;

const ABSOLUTE = /^([a-z][a-z\d+\-.]*:)?\/\//i;

/** The most rounds of percent-encoding in a path; no caller means to send more. */
const MAX_ENCODINGS = 8;

/** The origins, with an optional path prefix each, that may receive a client's token. */
export class AllowedOrigins {
  readonly #baseURL: string | undefined;
  readonly #base: URL | undefined;
  /** How every URL on baseURL's origin begins once it is parsed. */
  readonly #start: string | undefined;
  readonly #isWhole: boolean;
  readonly #socketPath: unknown;
  readonly #allowed: { origin: string; path: string }[];

  /**
   * @param allowedOrigins origins besides that of `baseURL`; a path limits them to what is below it. Entries on
   * baseURL's own origin replace that
   * @param socketPath the API's Unix socket, if it has one; any other socket leads elsewhere
   */
  constructor(baseURL: string | undefined, allowedOrigins: readonly string[] = [], socketPath?: unknown) {
    this.#baseURL = baseURL;
    this.#socketPath = socketPath;
    this.#base = baseURL === undefined ? undefined : new URL(baseURL);
    this.#start = this.#base && `${this.#base.origin}/`;
    this.#allowed = allowedOrigins.map((allowed) => {
      const { origin, pathname } = new URL(allowed);
      return { origin, path: pathname.endsWith('/') ? pathname : `${pathname}/` };
    });
    const own = this.#allowed.filter(({ origin }) => origin === this.#base?.origin);
    this.#isWhole = own.every(({ path }) => path === '/');
    if (this.#base && own.length === 0) this.#allowed.push({ origin: this.#base.origin, path: '/' });
  }

  /** Whether the URL that Axios will make of `request` is within them. */
  allow(request: RequestTarget): boolean {
    if (this.detours(request)) return false;
    if (this.#isWhole && this.#staysOnBase(request)) return true;
    const target = targetOf(request);
    return target !== undefined && this.reach(target) > 0;
  }

  /** Whether `request` goes to a Unix socket of its own, whatever its URL says. */
  detours({ socketPath }: RequestTarget): boolean {
    return Boolean(socketPath) && socketPath !== this.#socketPath;
  }

  /** A URL on the server that `request` goes to; `undefined` if that is unknown. */
  siteOf(request: RequestTarget): URL | undefined {
    return this.#staysOnBase(request) ? this.#base : targetOf(request);
  }

  /** How much of `target` an allowed origin covers, to find the better of two matches; 0 if none does. */
  reach(target: URL): number {
    if (target.username !== '' || target.password !== '') return 0;
    const below = target.pathname.endsWith('/') ? target.pathname : `${target.pathname}/`;
    let reach = 0;
    for (const { origin, path } of this.#allowed) {
      const covered = path === '/' || (below.startsWith(path) && isPlain(below.slice(path.length)));
      if (origin === target.origin && covered) reach = Math.max(reach, path.length);
    }
    return reach;
  }

  /** A relative path below our own baseURL cannot leave its origin, and neither can what begins with that: none is parsed. */
  #staysOnBase({ baseURL, url = '', allowAbsoluteUrls }: RequestTarget): boolean {
    const absolute = ABSOLUTE.exec(url);
    if (absolute === null) return baseURL !== undefined && baseURL === this.#baseURL;
    // Its input is a text, even if the caller gave a URL object.
    return this.#start !== undefined && allowAbsoluteUrls !== false && absolute.input.startsWith(this.#start);
  }
}

/**
 * Whether every server reads the same segments in a path, which ends in a slash. Before they resolve dots, some servers
 * decode the path once more, with its slashes and backslashes, cut off what follows a semicolon, or merge slashes. A
 * prefix would not limit such a path.
 */
function isPlain(path: string): boolean {
  let text = path;
  for (let i = 0, before = ''; text !== before; i++) {
    if (i > MAX_ENCODINGS) return false;
    before = text;
    text = text.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  }
  // Bytes that are not UTF-8, and full-width characters, may be dots and slashes in disguise.
  const plain = Buffer.from(text, 'latin1').toString().normalize('NFKC');
  const segments = plain.split('/').slice(0, -1);
  if (segments.length !== path.split('/').length - 1 || /[\p{Cc}\ufffd\\]|%u/iu.test(plain)) return false;
  return segments.every((segment) => !/^[.\s]*(;|$)/.test(segment));
}

/** The URL that Axios will request, without `params`; `undefined` if that is unknown. */
export function targetOf(request: RequestTarget): URL | undefined {
  const url = urlOf(request);
  try {
    return url === undefined ? url : new URL(url);
  } catch {
    return undefined; // `canParse` would parse it twice
  }
}

/** The same URL as text. */
export function urlOf({ baseURL, url = '', allowAbsoluteUrls }: RequestTarget): string | undefined {
  const isAbsolute = ABSOLUTE.test(url);
  // Whether Axios puts such a URL below the baseURL depends on its version.
  if (baseURL && allowAbsoluteUrls === false && isAbsolute) return undefined;
  if (!baseURL || url === '') return baseURL || url;
  // Axios passes a protocol-relative URL to the URL parser, which refuses it.
  return isAbsolute ? url : `${baseURL.replace(/\/+$/, '')}/${url.replace(/^\/+/, '')}`;
}
