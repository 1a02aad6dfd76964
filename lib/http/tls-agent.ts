import { Agent, globalAgent } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { isExempt, openTunnel } from './tunnel.js';

type Connect = Parameters<Agent['createConnection']>;

/** A client's certificate, key and authorities. Each replacement raises the generation by one. */
export interface TlsMaterial {
  options: SecureContextOptions;
  generation: number;
}

/** How an agent connects. */
export interface Route {
  /** What the client presents and trusts; without it, what the agent in `given` or Node's own has. */
  material: TlsMaterial | undefined;
  given: Agent | undefined;
  /** Opens a tunnel to the server, which alone sees the material. */
  proxy: URL | undefined;
  /** Whether `NO_PROXY` holds. */
  isFromEnvironment: boolean;
}

/**
 * An agent that goes through a proxy where there is one, and whose certificate can be replaced: new connections use
 * the new one, and never an old one's connection or session; requests under way are left alone.
 */
export class TlsAgent extends Agent {
  readonly #route: Route;
  /** By the options of a connection, which still belongs to the certificate it was made with when it is idle. */
  readonly #generations = new WeakMap<object, number>();

  constructor(route: Route) {
    const plain = { keepAlive: true, scheduling: 'lifo', timeout: 5_000 } as const; // as Node's own agent
    const { options } = route.given ?? (route.material ? { options: plain } : globalAgent);
    super(Object.assign({}, options, { proxyEnv: undefined }));
    this.#route = route;
  }

  override createConnection(...[options, callback]: Connect): ReturnType<Agent['createConnection']> {
    const { material, given, proxy, isFromEnvironment } = this.#route;
    if (material) this.#generations.set(options, material.generation);
    // Not the key itself, which a connection would show.
    const context = material && { secureContext: createSecureContext(material.options) };
    const all = Object.assign({}, options, context);
    if (!proxy || options.socketPath || (isFromEnvironment && isExempt(options)))
      return super.createConnection(all, callback);
    const { ca } = (material ? globalAgent : (given ?? globalAgent)).options;
    openTunnel(proxy, options, ca, (error, socket) => {
      if (error) return callback?.(error, undefined as never);
      callback?.(null, super.createConnection(Object.assign({ socket }, all)) as never);
    });
    return undefined;
  }

  override getName(options: object = {}): string {
    const generation = this.#generations.get(options) ?? this.#route.material?.generation;
    return `${super.getName(options)}:${generation}`;
  }
}

/** Closes the connections of an agent that no request uses. */
export function closeIdle({ freeSockets }: Pick<Agent, 'freeSockets'>): void {
  for (const socket of Object.values(freeSockets).flat()) socket?.destroy();
}
