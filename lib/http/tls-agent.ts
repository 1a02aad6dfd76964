import { Agent } from 'node:https';
import type { SecureContextOptions } from 'node:tls';

/**
 * An agent whose certificate can be replaced: new connections use the new one, and never an old one's connection or
 * session; requests under way are left alone.
 */
export class TlsAgent extends Agent {
  #material: SecureContextOptions = {};
  #generation = 0;
  /** By the options of a connection: when it is set free, it still belongs to the certificate it was made with. */
  readonly #generations = new WeakMap<object, number>();

  constructor() {
    super({ keepAlive: true, scheduling: 'lifo', timeout: 5_000 }); // as Node's own agent
  }

  /** What new connections use. */
  get material(): SecureContextOptions {
    return this.#material;
  }

  /** Takes over certificate, key and authorities, for new connections. */
  use(material: SecureContextOptions): void {
    this.#material = material;
    this.#generation++;
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
