import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate and its private key, in PEM. */
export interface Identity {
  cert: string;
  key: string;
}

/** How servers tell one certificate from another. */
export const fingerprintOf = ({ cert }: Identity): string => new X509Certificate(cert).fingerprint256;

/** An authority of its own in a folder of its own, made with the openssl command. */
export class Authority {
  readonly folder = mkdtempSync(join(tmpdir(), 'authority-'));
  /** The authority's certificate, for those who trust it. */
  readonly ca: string;
  #made = 0;

  constructor() {
    this.ca = this.#make('ca', '/CN=Test Authority', []).cert;
  }

  /** For 127.0.0.1. */
  server(): Identity {
    return this.#issue('/CN=localhost', ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']);
  }

  client(name: string): Identity {
    return this.#issue(`/CN=${name}`, []);
  }

  selfSigned(name: string): Identity {
    return this.#make(`own${++this.#made}`, `/CN=${name}`, []);
  }

  /** The same key behind a passphrase. */
  encrypt({ key }: Identity, passphrase: string): string {
    return execFileSync('openssl', ['pkcs8', '-topk8', '-passout', `pass:${passphrase}`], {
      input: key,
      stdio: 'pipe',
    }).toString();
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  #issue(subject: string, more: string[]): Identity {
    const signer = ['-CA', this.#path('ca.pem'), '-CAkey', this.#path('ca.key')];
    return this.#make(`leaf${++this.#made}`, subject, [...signer, ...more]);
  }

  #make(name: string, subject: string, more: string[]): Identity {
    const [key, cert] = [this.#path(`${name}.key`), this.#path(`${name}.pem`)];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const files = ['-keyout', key, '-out', cert, '-days', '2', '-subj', subject];
    execFileSync('openssl', ['req', '-x509', ...curve, ...files, ...more], { stdio: 'pipe' });
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  }

  #path(file: string): string {
    return join(this.folder, file);
  }
}
