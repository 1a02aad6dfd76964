import { X509Certificate, createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { EmbeddedJWK, calculateJwkThumbprint, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import Provider, {
  type Adapter,
  type AdapterPayload,
  type ClientMetadata,
  type Configuration,
} from 'oidc-provider';
import type { Authority } from '../support/certificates.js';

/** What a test's authorization server is like. */
export interface ProviderOptions {
  clients: ClientMetadata[];
  /** Serves TLS that asks for a client certificate, and knows client authentication by it. */
  authority?: Authority;
  /** DPoP proofs need a nonce of the server. */
  dpopNonces?: boolean;
}

/** What the API that trusts it received. */
export interface ApiRequest {
  authorization: string | undefined;
  accepted: boolean;
}

/** A real oidc-provider on loopback, and an API that accepts its tokens, DPoP proofs and certificates. */
export class RealProvider {
  readonly issuer: string;
  readonly apiURL: string;
  /** Form fields, Authorization and status of the token requests. */
  readonly tokenRequests: {
    fields: Record<string, unknown>;
    authorization: string | undefined;
    status: number;
  }[] = [];
  readonly apiRequests: ApiRequest[] = [];
  readonly #provider: Provider;
  readonly #servers: Server[];

  private constructor(provider: Provider, servers: Server[], urls: string[]) {
    this.#provider = provider;
    this.#servers = servers;
    [this.issuer, this.apiURL] = urls as [string, string];
    provider.use(async (ctx, next) => {
      await next();
      if (!ctx.path.endsWith('/token')) return;
      const fields = { ...(ctx as unknown as { oidc: { params?: object } }).oidc.params };
      this.tokenRequests.push({ fields, authorization: ctx.headers.authorization, status: ctx.status });
    });
  }

  static async start(options: ProviderOptions): Promise<RealProvider> {
    const { authority } = options;
    const tls = authority && {
      ...authority.server(),
      ca: authority.ca,
      requestCert: true,
      rejectUnauthorized: false,
    };
    const servers: Server[] = [1, 2].map(() => (tls ? createTlsServer(tls) : createServer()));
    await Promise.all(servers.map((server) => once(server.listen(0, '127.0.0.1'), 'listening')));
    const urls = servers.map(
      (server) => `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    );
    const provider = new Provider(urls[0]!, configurationOf(options, urls[1]!));
    const real = new RealProvider(provider, servers, urls);
    servers[0]!.on('request', provider.callback() as RequestListener);
    servers[1]!.on('request', ((request, response) => {
      void real.#admit(request).then((accepted) => {
        real.apiRequests.push({ authorization: request.headers.authorization, accepted });
        response.writeHead(accepted ? 200 : 401, { 'content-type': 'application/json' }).end('{}');
      });
    }) satisfies RequestListener);
    return real;
  }

  /** A refresh token as a user's consent would have brought it. */
  async consent(clientId: string): Promise<string> {
    const { Client, Grant, RefreshToken } = this.#provider;
    const grant = new Grant({ clientId, accountId: 'alice' });
    grant.addOIDCScope('openid offline_access');
    const grantId = await grant.save();
    const client = (await Client.find(clientId))!;
    const scope = 'openid offline_access';
    return new RefreshToken({
      client,
      accountId: 'alice',
      grantId,
      scope,
      gty: 'authorization_code',
    }).save();
  }

  /** The API rejects the token from now on. */
  async revoke(token: string): Promise<void> {
    await (await this.#find(token))?.destroy();
  }

  /** The resource that the token is for. */
  async audienceOf(token: string): Promise<unknown> {
    return (await this.#find(token))?.aud;
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map(async (server) => {
        const closed = once(server.close(), 'close');
        server.closeAllConnections();
        await closed;
      }),
    );
  }

  async #find(token: string) {
    const { AccessToken, ClientCredentials } = this.#provider;
    return (await ClientCredentials.find(token)) ?? (await AccessToken.find(token));
  }

  async #admit(request: Parameters<RequestListener>[0]): Promise<boolean> {
    const [scheme, value = ''] = (request.headers.authorization ?? '').split(' ');
    const token = await this.#find(value);
    if (!token || token.isExpired) return false;
    const { jkt, 'x5t#S256': x5t } = token as unknown as { jkt?: string; 'x5t#S256'?: string };
    if (x5t !== undefined && x5t !== thumbprintOf(request.socket as TLSSocket)) return false;
    if (jkt === undefined) return scheme === 'Bearer';
    const { protectedHeader, payload } = await jwtVerify(String(request.headers['dpop']), EmbeddedJWK, {
      typ: 'dpop+jwt',
    });
    return (
      scheme === 'DPoP' &&
      (await calculateJwkThumbprint(protectedHeader.jwk!)) === jkt &&
      payload['ath'] === createHash('sha256').update(value).digest('base64url') &&
      payload['htu'] === `${this.apiURL}${request.url}`
    );
  }
}

const { privateKey } = await generateKeyPair('RS256', { extractable: true });
const signingKey = {
  ...(await exportJWK(privateKey)),
  kty: 'RSA',
  use: 'sig',
  alg: 'RS256',
  kid: 'server',
} as const;

function configurationOf(
  { clients, authority, dpopNonces = false }: ProviderOptions,
  apiURL: string,
): Configuration {
  return {
    adapter: memory(clients),
    jwks: { keys: [signingKey] },
    cookies: { keys: ['unused'] },
    scopes: ['openid', 'offline_access', 'read', 'write', 'admin'],
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none',
      ...(authority ? (['tls_client_auth', 'self_signed_tls_client_auth'] as const) : []),
    ], // prettier-ignore
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    rotateRefreshToken: true,
    ttl: { AccessToken: 3600, ClientCredentials: 3600, RefreshToken: 86_400, Grant: 86_400, IdToken: 3600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: {
        enabled: true,
        requireNonce: () => dpopNonces,
        ...(dpopNonces && { nonceSecret: Buffer.alloc(32, 7) }),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => [],
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => {
          if (resource !== apiURL)
            throw Object.assign(new Error('invalid_target'), {
              error: 'invalid_target',
              status: 400,
              statusCode: 400,
              expose: true,
            });
          return { scope: 'read write', audience: resource, accessTokenFormat: 'opaque' };
        },
      },
      ...(authority && { mTLS: mutualTls }),
    },
  };
}

const mutualTls = {
  enabled: true,
  certificateBoundAccessTokens: true,
  selfSignedTlsClientAuth: true,
  tlsClientAuth: true,
  getCertificate: ({ socket }: { socket: unknown }) => certificateOf(socket as TLSSocket)?.toString(),
  certificateAuthorized: ({ socket }: { socket: unknown }) => (socket as TLSSocket).authorized,
  certificateSubjectMatches: ({ socket }: { socket: unknown }, property: string, expected: string) =>
    property === 'tls_client_auth_subject_dn' && certificateOf(socket as TLSSocket)?.subject === expected,
};

function certificateOf(socket: TLSSocket): X509Certificate | undefined {
  const { raw } = socket.getPeerCertificate();
  return raw && new X509Certificate(raw);
}

function thumbprintOf(socket: TLSSocket): string | undefined {
  const certificate = certificateOf(socket);
  return certificate && createHash('sha256').update(certificate.raw).digest('base64url');
}

/**
 * The least an adapter has to do; the provider's own warns on the console. Holds the clients as well: those of the
 * configuration are cloned, and what Node clones is no plain object inside Jest.
 */
function memory(clients: ClientMetadata[]): new (model: string) => Adapter {
  const entries = new Map<string, AdapterPayload>(clients.map((one) => [`Client ${one.client_id}`, one]));
  return class implements Adapter {
    readonly #model: string;
    constructor(model: string) {
      this.#model = model;
    }
    async upsert(id: string, payload: AdapterPayload) {
      entries.set(`${this.#model} ${id}`, payload);
    }
    async find(id: string) {
      return entries.get(`${this.#model} ${id}`);
    }
    async findByUserCode() {
      return undefined;
    }
    async findByUid() {
      return undefined;
    }
    async consume(id: string) {
      entries.get(`${this.#model} ${id}`)!.consumed = Math.floor(Date.now() / 1000);
    }
    async destroy(id: string) {
      entries.delete(`${this.#model} ${id}`);
    }
    async revokeByGrantId(grantId: string) {
      for (const [key, payload] of entries) if (payload.grantId === grantId) entries.delete(key);
    }
  };
}
