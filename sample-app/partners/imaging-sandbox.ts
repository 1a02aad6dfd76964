import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { ImagingAccount } from '../imaging/imaging-accounts.js';
import { PartnerSandbox, basicCredentials, bearerToken, sendJson } from './partner-sandbox.js';

/** By patient; made up. */
const STUDIES = new Map([
  ['p-1001', ['X-ray, left hip', 'MRI, lumbar spine']],
  ['p-1002', ['Ultrasound, abdomen']],
]);

/** What the archive keeps of a clinic. */
interface Customer {
  /** Missing once it is closed. */
  account?: ImagingAccount | undefined;
  tokens: Set<string>;
  tokenRequests: number;
  refusedCalls: number;
}

/** An imaging archive that gives each clinic credentials and a URL of its own, at any time. */
export class ImagingSandbox extends PartnerSandbox {
  tokenLifetimeMs = 10 * 60 * 1000;
  protected readonly tokenPath = '/token';
  protected readonly apiPath = '/clinics/';
  readonly #customers = new Map<string, Customer>();

  /** What all clinics have in common. */
  get environment(): Record<string, string> {
    return { OAUTH_IMAGING_TOKEN_ENDPOINT: `${this.url}${this.tokenPath}` };
  }

  /** Opens an account with new credentials; those of an account that the clinic has had are void. */
  openAccount(clinic: string): ImagingAccount {
    this.revoke(clinic);
    const account = {
      clientId: `clinic-${clinic}`,
      clientSecret: randomBytes(24).toString('base64url'),
      baseURL: `${this.url}${this.apiPath}${clinic}/`,
    };
    const { tokenRequests } = this.countsOf(clinic);
    this.#customers.set(clinic, { account, tokens: new Set(), tokenRequests, refusedCalls: 0 });
    return account;
  }

  /** Honours neither its credentials nor its tokens any more. */
  closeAccount(clinic: string): void {
    this.revoke(clinic);
    const customer = this.#customers.get(clinic);
    if (customer !== undefined) customer.account = undefined;
  }

  /** From now on the API refuses every token issued to this clinic so far. */
  revoke(clinic: string): void {
    const customer = this.#customers.get(clinic);
    if (customer === undefined) return;
    for (const token of customer.tokens) this.issued.delete(token);
    customer.tokens.clear();
    customer.refusedCalls = 0;
  }

  /** The clinic's token requests so far, and how many of its calls got a 401 since its last revocation. */
  countsOf(clinic: string): Pick<Customer, 'tokenRequests' | 'refusedCalls'> {
    const { tokenRequests = 0, refusedCalls = 0 } = this.#customers.get(clinic) ?? {};
    return { tokenRequests, refusedCalls };
  }

  protected async answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    if (request.method === 'POST' && url.pathname === this.tokenPath) return this.#token(request, response);

    const [, clinic = '', patient = ''] =
      /^\/clinics\/([^/]+)\/patients\/([^/]+)\/images$/.exec(url.pathname) ?? [];
    const customer = this.#customers.get(clinic);
    // another clinic's token is as good as none
    if (!this.isAuthorized(request) || !customer?.tokens.has(bearerToken(request) ?? '')) {
      if (customer !== undefined) customer.refusedCalls++;
      const challenge = { 'www-authenticate': 'Bearer error="invalid_token"' };
      return sendJson(response, 401, { error: 'invalid_token' }, challenge);
    }
    const studies = STUDIES.get(patient);
    if (studies === undefined) return sendJson(response, 404, { error: 'not_found' });
    sendJson(response, 200, { images: studies.map((study) => ({ clinic, study })) });
  }

  async #token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request));
    const [id, secret] = basicCredentials(request) ?? [];
    const customer = [...this.#customers.values()].find(({ account }) => account?.clientId === id);
    if (customer !== undefined) customer.tokenRequests++;
    if (customer?.account === undefined || customer.account.clientSecret !== secret) {
      return sendJson(response, 401, { error: 'invalid_client' });
    }
    if (form.get('grant_type') !== 'client_credentials') {
      return sendJson(response, 400, { error: 'unsupported_grant_type' });
    }
    const token = this.issueToken();
    customer.tokens.add(token.access_token);
    sendJson(response, 200, token, { 'cache-control': 'no-store' });
  }
}
