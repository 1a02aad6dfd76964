import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { PartnerSandbox, basicCredentials, hasMediaType, sendJson } from './partner-sandbox.js';

/** By patient. The partner's public documentation names `medication_request`, `id` and `refills_left`; the rest is made up. */
const PRESCRIPTIONS = new Map([
  [
    'p-1001',
    { id: 123456, medication: 'Atorvastatin 20 mg tablet', dosage: 'One tablet at night', refills_left: 2 },
  ],
  [
    'p-1002',
    { id: 123457, medication: 'Metformin 500 mg tablet', dosage: 'One tablet twice a day', refills_left: 5 },
  ],
]);

/**
 * Honeybee Health as its public documentation has it: a form-encoded token request with the credentials in the body
 * or as HTTP Basic, a response with `created_at`, tokens for 43,200 seconds, and an API that insists on
 * `Accept: application/json`.
 */
export class HoneybeeSandbox extends PartnerSandbox {
  tokenLifetimeMs = 43_200_000;
  protected readonly tokenPath = '/oauth/token';
  protected readonly apiPath = '/v1/';

  get environment(): Record<string, string> {
    return {
      OAUTH_HONEYBEE_CLIENT_ID: this.clientId,
      OAUTH_HONEYBEE_CLIENT_SECRET: this.clientSecret,
      OAUTH_HONEYBEE_TOKEN_ENDPOINT: `${this.url}${this.tokenPath}`,
      OAUTH_HONEYBEE_BASE_URL: this.url,
    };
  }

  protected async answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    if (request.method === 'POST' && url.pathname === this.tokenPath) return this.#token(request, response);

    const headers = { 'x-request-id': randomUUID() };
    if (!this.isAuthorized(request)) {
      const challenge = { 'www-authenticate': 'Bearer error="invalid_token"' };
      return sendJson(response, 401, { error: 'invalid_token' }, { ...headers, ...challenge });
    }
    if (!request.headers.accept?.includes('application/json')) {
      return sendJson(response, 406, { error: 'Accept must be application/json.' }, headers);
    }
    const patient = /^\/v1\/patients\/([^/]+)\/rx$/.exec(url.pathname)?.[1];
    const prescription = request.method === 'GET' && patient !== undefined && PRESCRIPTIONS.get(patient);
    if (!prescription) return sendJson(response, 404, { error: 'Not found.' }, headers);
    sendJson(response, 200, { medication_request: prescription }, headers);
  }

  async #token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headers = { 'cache-control': 'no-store', pragma: 'no-cache' };
    const refuse = (status: number, error: string, error_description: string) =>
      sendJson(response, status, { error, error_description }, headers);

    if (!hasMediaType(request, 'application/x-www-form-urlencoded')) {
      return refuse(400, 'invalid_request', 'The body must be application/x-www-form-urlencoded.');
    }
    const form = new URLSearchParams(await text(request));
    const basic = basicCredentials(request);
    const [id, secret] = basic ?? [form.get('client_id'), form.get('client_secret')];
    if (id !== this.clientId || secret !== this.clientSecret || (basic && form.has('client_secret'))) {
      return refuse(401, 'invalid_client', 'Client authentication failed.');
    }
    if (form.get('grant_type') !== 'client_credentials') {
      return refuse(400, 'unsupported_grant_type', 'The grant_type must be client_credentials.');
    }
    sendJson(response, 200, { ...this.issueToken(), created_at: Math.floor(Date.now() / 1000) }, headers);
  }
}
