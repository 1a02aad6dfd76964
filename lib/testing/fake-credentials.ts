import type { RecordedRequest } from './fake-answer.js';

/** A parameter of a token request, from its form or its JSON body. */
export function parameterOf({ form, json }: RecordedRequest, name: string): unknown {
  return form?.get(name) ?? (json as Record<string, unknown> | null | undefined)?.[name];
}

/** Whether id and secret are right: as Basic, form-encoded (RFC 6749 section 2.3.1) or raw, or both in the body. */
export function authenticates(request: RecordedRequest, clients: Record<string, string>): boolean {
  const known = (id: unknown, secret: unknown): boolean =>
    typeof id === 'string' && Object.hasOwn(clients, id) && clients[id] === secret;
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (basic === undefined)
    return known(parameterOf(request, 'client_id'), parameterOf(request, 'client_secret'));
  const pair = Buffer.from(basic, 'base64').toString();
  const id = pair.slice(0, pair.indexOf(':'));
  const secret = pair.slice(pair.indexOf(':') + 1);
  return known(id, secret) || known(formDecoded(id), formDecoded(secret));
}

function formDecoded(text: string): string | null {
  return new URLSearchParams(`v=${text.replaceAll('&', '%26')}`).get('v');
}
