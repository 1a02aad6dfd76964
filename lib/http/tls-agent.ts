import { X509Certificate, createPrivateKey } from 'node:crypto';
import { Agent } from 'node:https';
import { OAuthClientError } from '../core/errors.js';

/** Certificate, key and authorities in PEM. */
export interface TlsMaterial {
  cert?: string;
  key?: string;
  ca?: string;
  passphrase?: string;
}

/**
 * An agent whose certificate can be replaced: new connections use the new one, and never an old one's connection or
 * session; requests under way are left alone.
 */
export class TlsAgent extends Agent {
  #material: TlsMaterial = {};
  #thumbprint: string | undefined;
  #generation = 0;
  /** By the options of a connection: when it is set free, it still belongs to the certificate it was made with. */
  readonly #generations = new WeakMap<object, number>();
  readonly #client: string | undefined;

  /** @param client its name, for errors */
  constructor(client?: string) {
    super({ keepAlive: true, scheduling: 'lifo', timeout: 5_000 }); // as Node's own agent
    this.#client = client;
  }

  /** Names the certificate (RFC 8705 §3.1), so that tokens bound to another are not used with it. */
  get thumbprint(): string | undefined {
    return this.#thumbprint;
  }

  /**
   * Takes over what was read; true when the certificate is another than before.
   *
   * @throws {OAuthClientError} `credentials_unavailable` when certificate and key do not fit: they may be being
   * replaced just now. What was there stays in use.
   */
  use(material: TlsMaterial): boolean {
    const same = (['cert', 'key', 'ca', 'passphrase'] as const).every(
      (name) => material[name] === this.#material[name],
    );
    if (same) return false;
    const before = this.#thumbprint;
    this.#thumbprint = this.#thumbprintOf(material);
    this.#material = material;
    this.#generation++;
    return before !== undefined && before !== this.#thumbprint;
  }

  #thumbprintOf(material: TlsMaterial): string | undefined {
    try {
      return thumbprintOf(material);
    } catch {
      const client = this.#client;
      const whose = client === undefined ? '' : ` of OAuth client "${client}"`;
      throw new OAuthClientError(
        'credentials_unavailable',
        `The tls.cert and tls.key${whose} are not a certificate and its own private key: check both, and the passphrase.`,
        { client, retryable: true },
      );
    }
  }

  override createConnection(
    ...[options, callback]: Parameters<Agent['createConnection']>
  ): ReturnType<Agent['createConnection']> {
    this.#generations.set(options, this.#generation);
    return super.createConnection({ ...options, ...this.#material }, callback);
  }

  override getName(options: object = {}): string {
    return `${super.getName(options)}:${this.#generations.get(options) ?? this.#generation}`;
  }
}

/**
 * The certificate's fingerprint.
 *
 * @throws {Error} unless the material holds a certificate and its own private key
 */
export function thumbprintOf({ cert, key, passphrase }: TlsMaterial): string | undefined {
  if (cert === undefined) return undefined;
  const certificate = new X509Certificate(cert);
  const privateKey = createPrivateKey({ key: key ?? '', ...(passphrase !== undefined && { passphrase }) });
  if (!certificate.checkPrivateKey(privateKey)) throw new Error('The key is not that of the certificate.');
  return certificate.fingerprint256;
}
