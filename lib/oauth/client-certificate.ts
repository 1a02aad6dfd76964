import type { SecureContextOptions } from 'node:tls';
import { OAuthClientError } from '../core/errors.js';
import type { TlsOptions } from '../options/client-options.js';
import { certificateFingerprint } from '../options/keys.js';
import { readCredential } from './credentials.js';

/** A client's certificate (RFC 8705), which rotates like a secret: it is read whenever the authorization server is asked. */
export class ClientCertificate {
  readonly #client: string;
  readonly #sources: TlsOptions;
  readonly #use: (material: SecureContextOptions, isReplaced: boolean) => void;
  #inUse = '';
  #fingerprint: string | undefined;

  /** @param use takes over what was read; `isReplaced` when tokens are bound to another certificate (RFC 8705 §3) */
  constructor(
    client: string,
    sources: TlsOptions,
    use: (material: SecureContextOptions, isReplaced: boolean) => void,
  ) {
    this.#client = client;
    this.#sources = sources;
    this.#use = use;
  }

  /**
   * Reads certificate, key and authorities as they are now, and puts them to use.
   *
   * @returns the certificate's fingerprint (RFC 8705 §3.1), so that tokens bound to another are not used with it
   * @throws {OAuthClientError} `credentials_unavailable` when certificate and key do not fit: they may be being
   * replaced just now. What was there stays in use.
   */
  async read(): Promise<string | undefined> {
    const client = this.#client;
    const material: SecureContextOptions = {};
    for (const member of ['cert', 'key', 'ca', 'passphrase'] as const) {
      const source = this.#sources[member];
      if (source !== undefined) material[member] = await readCredential(client, `tls.${member}`, source);
    }
    const read = JSON.stringify(material);
    if (read === this.#inUse) return this.#fingerprint;
    const before = this.#fingerprint;
    try {
      this.#fingerprint = certificateFingerprint(material);
    } catch {
      const message = `The tls.cert and tls.key of OAuth client "${client}" are not a certificate and its own private key: check both, and the passphrase.`;
      throw new OAuthClientError('credentials_unavailable', message, { client, retryable: true });
    }
    this.#inUse = read;
    this.#use(material, before !== undefined && before !== this.#fingerprint);
    return this.#fingerprint;
  }
}
