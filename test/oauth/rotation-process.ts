import { systemClock } from '../../lib/core/clock.js';
import { OAuthClient, TokenRuntime } from '../../lib/core/oauth-client.js';
import { connectClient } from '../../lib/nest/client-connection.js';
import { withDefaults } from '../../lib/options/resolved-options.js';
import { FileTokenStore } from './file-token-store.js';

/** What the parent passes in the environment, as JSON. */
export interface RotationPlan {
  folder: string;
  tokenEndpoint: string;
  apiURL: string;
  /** At which step the process stops, to be killed; `undefined`: it goes through. */
  dieAt: string | undefined;
}

// Without Nest, which takes most of the time to start and no part in this.
const plan = JSON.parse(process.env['ROTATION']!) as RotationPlan;
let rotating = false;

/** Tells the parent that the process is where it is to be killed, and stays there. */
async function step(name: string): Promise<void> {
  if (!rotating || name !== plan.dieAt) return;
  process.send!(name);
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}

const options = withDefaults({
  tokenEndpoint: plan.tokenEndpoint,
  clientId: 'me',
  clientSecret: 'my secret',
  grant: { type: 'refresh_token', refreshToken: 'rt0' },
});
const runtime = new TokenRuntime(new FileTokenStore(plan.folder, step), systemClock);
const { endpoint } = connectClient({ name: 'partner', options, clock: systemClock, warn: () => undefined });
const client = OAuthClient.create({ name: 'partner', endpoint, options, runtime });

await client.getToken();
rotating = true;
const { authorization } = await client.getToken({ forceRefresh: true });
await step('landed');
const { status } = await fetch(plan.apiURL, { headers: { authorization, connection: 'close' } });
await step('used');
process.send!(`API ${status}`);
process.disconnect();
await runtime.close(0);
