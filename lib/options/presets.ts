import type { OAuthClientOptions } from './client-options.js';
import { plainName } from './nearest.js';
import type { PresetInput, PresetSetting } from './preset-settings.js';
import { buoy, honeybee, smartBackend } from './presets-health.js';
import { entra, googleServiceAccount, shopify, walmart, zoom } from './presets-platform.js';

/** A preset, and the settings that only it knows. */
export interface Preset {
  readonly settings: readonly PresetSetting[];
  make(input: PresetInput): OAuthClientOptions;
}

/** The presets by the names of their functions. */
export const PRESETS: ReadonlyMap<string, Preset> = new Map<string, Preset>([
  ['buoy', { settings: ['environment'], make: buoy }],
  ['honeybee', { settings: ['environment'], make: honeybee }],
  ['smartBackend', { settings: ['fhirBaseUrl'], make: smartBackend }],
  ['entra', { settings: ['tenantId', 'certificateFile', 'federatedTokenFile'], make: entra }],
  ['googleServiceAccount', { settings: ['keyFile', 'subject'], make: googleServiceAccount }],
  ['zoom', { settings: ['accountId'], make: zoom }],
  ['shopify', { settings: ['shop'], make: shopify }],
  ['walmart', { settings: [], make: walmart }],
]);

/** The preset that `OAUTH_<NAME>_PARTNER` names, in any case and with any separators. */
export function presetOf(partner: string): Preset | undefined {
  return [...PRESETS].find(([name]) => plainName(name) === plainName(partner))?.[1];
}
