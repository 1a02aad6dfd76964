import type { RecordedRequest } from './fake-answer.js';

/** The members of a JSON body; none of any other. */
export function jsonMembers(request: RecordedRequest): Record<string, unknown> {
  return typeof request.json === 'object' ? { ...request.json } : {};
}

/** Whether id and secret are right: as Basic, form-encoded (RFC 6749 section 2.3.1) or raw, or both in the body. */
export function authenticates(request: RecordedRequest, clients: Record<string, string>): boolean {
  const known = (id: unknown, secret: unknown): boolean =>
    typeof id === 'string' && Object.hasOwn(clients, id) && clients[id] === secret;
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (basic === undefined) {
    const { form } = request;
    const json = jsonMembers(request);
    return known(form?.get('client_id') ?? json.client_id, form?.get('client_secret') ?? json.client_secret);
  }
  const pair = Buffer.from(basic, 'base64').toString();
  const id = pair.slice(0, pair.indexOf(':'));
  const secret = pair.slice(pair.indexOf(':') + 1);
  return known(id, secret) || known(formDecoded(id), formDecoded(secret));
}

function formDecoded(text: string): string | null {
  return new URLSearchParams(`v=${text.replaceAll('&', '%26')}`).get('v');
}
