import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { PartnerSandbox, hasMediaType, sendJson } from './partner-sandbox.js';

/** Audience of Buoy's sandbox, from the partner's public documentation. */
const AUDIENCE = 'https://api.sandbox.buoyhealth.com';

/** Phrases the symptom checker proposes; the first eight are those of the partner's public documentation. */
const PHRASES = [
  'hip pain',
  'hip pain when walking',
  'hip pain radiating',
  'hip pain and swelling',
  'hip pain at night',
  'hip pain both sides',
  'hip pain and weakness',
  'hip pain left side',
  'sore throat',
  'sore throat and fever',
];

/**
 * Buoy Health as its public documentation has it: a JSON token request with the credentials in the body and an
 * audience, tokens for 24 hours, and a 401 with a `detail` for a bad one. Of the token response the documentation
 * shows `access_token` only; the rest, and the errors, are those of RFC 6749 §5.
 */
export class BuoySandbox extends PartnerSandbox {
  tokenLifetimeMs = 24 * 60 * 60 * 1000;
  protected readonly tokenPath = '/oauth/token';
  protected readonly apiPath = '/symptom-checker/';

  get environment(): Record<string, string> {
    return {
      OAUTH_BUOY_ENVIRONMENT: 'sandbox',
      OAUTH_BUOY_CLIENT_ID: this.clientId,
      OAUTH_BUOY_CLIENT_SECRET: this.clientSecret,
      OAUTH_BUOY_TOKEN_ENDPOINT: `${this.url}${this.tokenPath}`,
      OAUTH_BUOY_BASE_URL: this.url,
    };
  }

  protected async answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const route = `${request.method} ${url.pathname}`;
    if (route === `POST ${this.tokenPath}`) return this.#token(request, response);
    if (!this.isAuthorized(request)) {
      return sendJson(response, 401, { detail: 'Token is invalid or expired (decode).' });
    }
    if (route !== 'GET /symptom-checker/v2/queries/')
      return sendJson(response, 404, { detail: 'Not found.' });
    const text = url.searchParams.get('text') ?? '';
    const suggestions = PHRASES.filter((phrase) => phrase.startsWith(text.toLowerCase()));
    sendJson(response, 200, { text, tag: url.searchParams.get('tag'), suggestions });
  }

  async #token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number, error: string, error_description: string) =>
      sendJson(response, status, { error, error_description });

    if (!hasMediaType(request, 'application/json')) {
      return refuse(400, 'invalid_request', 'The body must be application/json.');
    }
    const body = await json(request).catch(() => undefined);
    if (typeof body !== 'object' || body === null)
      return refuse(400, 'invalid_request', 'The body is not a JSON object.');

    const { grant_type, client_id, client_secret, audience } = body as Record<string, unknown>;
    if (client_id !== this.clientId || client_secret !== this.clientSecret) {
      return refuse(401, 'invalid_client', 'Unknown client_id, or the client_secret is wrong.');
    }
    if (grant_type !== 'client_credentials') {
      return refuse(400, 'unsupported_grant_type', 'The grant_type must be client_credentials.');
    }
    if (audience !== AUDIENCE) return refuse(403, 'access_denied', `The audience must be ${AUDIENCE}.`);
    sendJson(response, 200, this.issueToken(), { 'cache-control': 'no-store' });
  }
}
