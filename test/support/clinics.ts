import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer, type RecordedRequest } from 'nestjs-oauth-client/testing';
import { closing } from './closing.js';

/**
 * A partner that gives each customer credentials of its own, and the table in which an application keeps them. The
 * tokens are `access-token-<client id>-1`, `-2` and so on, and the API tells whose token came.
 */
export class Clinics {
  readonly server: FakeAuthorizationServer;
  /** What the application knows by tenant. */
  readonly table = new Map<string, OAuthClientOptions>();
  /** What the partner knows: secrets by client id. */
  readonly secrets = new Map<string, string>();
  /** The tenants that the application's function was asked for, in order. */
  readonly asked: string[] = [];

  private constructor(server: FakeAuthorizationServer) {
    this.server = server;
    server.alwaysRespond((request) => this.#token(request));
    server.onApiRequest = ({ headers }) => {
      const [, owner] = /^Bearer access-token-(.+)-\d+$/.exec(headers.authorization ?? '') ?? [];
      return owner === undefined || this.#revoked.has(headers.authorization ?? '')
        ? { status: 401, body: {} }
        : { status: 200, body: { owner } };
    };
  }

  readonly #revoked = new Set<string>();

  /** With these tenants, each a customer of the partner's. */
  static async with(...tenants: string[]): Promise<Clinics> {
    const clinics = new Clinics(closing(await FakeAuthorizationServer.start()));
    for (const tenant of tenants) clinics.add(tenant);
    return clinics;
  }

  /** A client whose tenants come from the table. */
  client(own: OAuthClientOptions = {}): OAuthClientOptions {
    return {
      tokenEndpoint: this.server.tokenEndpoint,
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: this.server.apiURL,
      retry: { attempts: 1 },
      tenants: async (tenant) => {
        this.asked.push(tenant);
        await new Promise(setImmediate);
        return this.table.get(tenant);
      },
      ...own,
    };
  }

  add(tenant: string, own: OAuthClientOptions = {}): void {
    const [clientId, clientSecret] = [`id-of-${tenant}`, `my secret of ${tenant}`];
    this.table.set(tenant, { clientId, clientSecret, ...own });
    this.secrets.set(clientId, clientSecret);
  }

  /** The partner replaces the tenant's secret; the application learns of it only when its table is set too. */
  rotate(tenant: string, isKnown = true): void {
    const clientSecret = `my other secret of ${tenant}`;
    this.secrets.set(`id-of-${tenant}`, clientSecret);
    if (isKnown) this.table.set(tenant, { ...this.table.get(tenant), clientSecret });
  }

  /** The API accepts none of the tenant's tokens so far. */
  revoke(token: { authorization: string }): void {
    this.#revoked.add(token.authorization);
  }

  /** The client ids that token requests came from, in order. */
  get requested(): (string | null | undefined)[] {
    return this.server.tokenRequests.map(({ form }) => form?.get('client_id'));
  }

  #token({ form }: RecordedRequest): object {
    const id = form?.get('client_id') ?? '';
    if (this.secrets.get(id) !== form?.get('client_secret'))
      return { status: 401, body: { error: 'invalid_client' } };
    return this.server.nextToken({ access_token: `access-token-${id}-${this.server.tokenRequests.length}` });
  }
}
