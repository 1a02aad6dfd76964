import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';

/** Certificate, key and authorities in PEM. */
export interface TlsMaterial {
  cert?: string;
  key?: string;
  ca?: string;
  passphrase?: string;
}

/** An agent whose certificate can be replaced: new connections use the new one, and never an old one's session. */
export class TlsAgent extends Agent {
  #material: TlsMaterial = {};
  #thumbprint: string | undefined;

  /** Names the certificate (RFC 8705 §3.1), so that tokens bound to another are not used with it. */
  get thumbprint(): string | undefined {
    return this.#thumbprint;
  }

  /** Takes over what was read; true when the certificate is another than before. */
  use(material: TlsMaterial): boolean {
    const same = (['cert', 'key', 'ca', 'passphrase'] as const).every(
      (name) => material[name] === this.#material[name],
    );
    if (same) return false;
    const before = this.#thumbprint;
    this.#thumbprint =
      material.cert === undefined ? undefined : new X509Certificate(material.cert).fingerprint256;
    this.#material = material;
    this.destroy(); // idle connections were made with the old certificate
    return before !== undefined && before !== this.#thumbprint;
  }

  override createConnection(
    ...[options, callback]: Parameters<Agent['createConnection']>
  ): ReturnType<Agent['createConnection']> {
    return super.createConnection({ ...options, ...this.#material }, callback);
  }

  override getName(options: Parameters<Agent['getName']>[0]): string {
    return `${super.getName(options)}:${this.#thumbprint ?? ''}`;
  }
}
