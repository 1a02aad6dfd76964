import type { OAuthClientStatus } from 'nestjs-oauth-client';
import type { Clinic } from './clinic.js';
import { CLINIC_ROUTES, IMAGING, PARTNER_ROUTES } from './partners/partner-routes.js';

/** Every partner, with the routes that call it: the imaging archive for each of the clinics. */
const CALLS = [
  ...PARTNER_ROUTES.map(({ client, path }) => ({ client, paths: [path as string] })),
  { client: IMAGING.client, paths: CLINIC_ROUTES.map(({ path }) => path) },
];

/** The page's URL, the back end's routes, and the partners behind them. */
export function describeRoutes({ url, sandboxes }: Clinic): string[] {
  const routes = CALLS.flatMap(({ client, paths }) => paths.map((path) => ({ client, path })));
  return [
    `Watch the clinic's tokens live at ${url}/`,
    'Routes of its back end:',
    ...routes.map(({ client, path }) => {
      const sandbox = sandboxes[client];
      const partner = sandbox ? `${client}, its sandbox at ${sandbox.url}` : `${client}, the real partner`;
      return `  ${path.padEnd(37)} ${partner}`;
    }),
    `  ${'/status'.padEnd(37)} how each OAuth client fares`,
  ];
}

/** Calls each partner once through each of its routes, and tells what came back and how many token requests it took. */
export async function firstCalls({ url }: Clinic): Promise<string[]> {
  const answers = await Promise.all(
    CALLS.map(({ paths }) =>
      Promise.all(
        paths.map(async (path) => {
          const response = await fetch(url + path);
          return `${response.status} ${await response.text()}`;
        }),
      ),
    ),
  );
  const clients = (await (await fetch(`${url}/status`)).json()) as OAuthClientStatus[];
  return CALLS.map(({ client }, index) => {
    const count = clients.find((status) => status.client === client)?.tokenRequests ?? 0;
    const tokenRequests = `${count} token request${count === 1 ? ' ' : 's'}`;
    return `  ${client.padEnd(9)} ${tokenRequests.padEnd(17)} ${shorten(answers[index]?.at(-1) ?? '')}`;
  });
}

function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 99)}…`;
}
