import type { OAuthClientStatus } from 'nestjs-oauth-client';
import type { Clinic } from './clinic.js';
import { PARTNER_ROUTES } from './partners/partner-routes.js';

/** The page's URL, the back end's routes, and the partners behind them. */
export function describeRoutes({ url, sandboxes }: Clinic): string[] {
  return [
    `Watch the clinic's tokens live at ${url}/`,
    'Routes of its back end:',
    ...PARTNER_ROUTES.map(({ client, path }) => {
      const sandbox = sandboxes[client];
      const partner = sandbox ? `${client}, its sandbox at ${sandbox.url}` : `${client}, the real partner`;
      return `  ${path.padEnd(36)} ${partner}`;
    }),
    `  ${'/status'.padEnd(36)} how each OAuth client fares`,
  ];
}

/** Calls each partner once through the back end, and tells what came back and how many token requests it took. */
export async function firstCalls({ url }: Clinic): Promise<string[]> {
  const answers = await Promise.all(
    PARTNER_ROUTES.map(async ({ path }) => {
      const response = await fetch(url + path);
      return `${response.status} ${await response.text()}`;
    }),
  );
  const clients = (await (await fetch(`${url}/status`)).json()) as OAuthClientStatus[];
  return PARTNER_ROUTES.map(({ client }, index) => {
    const count = clients.find((status) => status.client === client)?.tokenRequests ?? 0;
    const tokenRequests = `${count} token request${count === 1 ? ' ' : 's'}`;
    return `  ${client.padEnd(9)} ${tokenRequests.padEnd(17)} ${shorten(answers[index] ?? '')}`;
  });
}

function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 99)}…`;
}
