import { BuoySandbox } from './buoy-sandbox.js';
import { HoneybeeSandbox } from './honeybee-sandbox.js';
import { ImagingSandbox } from './imaging-sandbox.js';
import { LabSandbox } from './lab-sandbox.js';

/** The partners' sandboxes, by client name. A partner with real credentials has none. */
export interface Sandboxes {
  buoy?: BuoySandbox;
  honeybee?: HoneybeeSandbox;
  lab?: LabSandbox;
  /** Its credentials are the clinics' and come at run time, so it is always a sandbox. */
  imaging: ImagingSandbox;
}

/** Starts a sandbox for each partner without credentials in `env`, and adds the variables that point there. */
export async function startSandboxes(env: NodeJS.ProcessEnv): Promise<Sandboxes> {
  env['OAUTH_CLIENTS'] ||= 'buoy,honeybee,lab,imaging';
  env['OAUTH_BUOY_PARTNER'] ||= 'buoy';
  env['OAUTH_HONEYBEE_PARTNER'] ||= 'honeybee';
  const sandboxes: Sandboxes = {
    ...(!hasCredentials(env, 'BUOY') && { buoy: await new BuoySandbox().start() }),
    ...(!hasCredentials(env, 'HONEYBEE') && { honeybee: await new HoneybeeSandbox().start() }),
    ...(!hasCredentials(env, 'LAB') && { lab: await new LabSandbox().start() }),
    imaging: await new ImagingSandbox().start(),
  };
  for (const sandbox of Object.values(sandboxes)) Object.assign(env, sandbox.environment);
  return sandboxes;
}

/** Half of a credential counts: its owner wants the real partner, and must hear what is missing. */
function hasCredentials(env: NodeJS.ProcessEnv, client: string): boolean {
  return ['CLIENT_ID', 'CLIENT_SECRET', 'CLIENT_SECRET_FILE'].some(
    (option) => env[`OAUTH_${client}_${option}`],
  );
}
