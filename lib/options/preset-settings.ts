import { OAuthConfigurationError } from '../core/errors.js';
import type { OAuthClientOptions } from './client-options.js';

/** What only presets know: the text that each setting takes, and the words that ask for it. */
const SETTINGS = {
  environment: { fits: /./, says: 'set it to one that the partner documents' },
  fhirBaseUrl: { fits: /^https?:\/\/[^\s?#]+$/, says: 'set it to the base URL of the FHIR server' },
  tenantId: { fits: /^[\w.-]+$/, says: 'set it to the ID or the domain of the directory' },
  certificateFile: { fits: /./, says: 'set it to the path of the certificate' },
  federatedTokenFile: { fits: /./, says: 'set it to the path of the projected token' },
  accountId: { fits: /./, says: 'set it to the account ID among the app’s credentials' },
  shop: { fits: /^[a-z\d][a-z\d-]*(\.myshopify\.com)?$/i, says: 'set it to the name before .myshopify.com' },
  keyFile: { fits: /./, says: 'set it to the path of the account’s key file in JSON' },
  subject: { fits: /./, says: 'set it to the user that the account acts for' },
} as const;

/** The name of a setting that only presets know, in variables as in code. */
export type PresetSetting = keyof typeof SETTINGS;

/** Every {@link PresetSetting}. */
export const PRESET_SETTINGS = Object.keys(SETTINGS) as readonly PresetSetting[];

/** A client's options with the settings of presets among them. */
export type PresetInput = OAuthClientOptions & { [name in PresetSetting]?: string | undefined };

/** A setting that a preset cannot work with. */
export class PresetError extends OAuthConfigurationError {
  /** The setting, or the option. */
  readonly setting: string;

  constructor(partner: string, setting: string, says: string) {
    super([`Partner "${partner}" ${says}.`]);
    this.setting = setting;
  }
}

/** A setting that a preset cannot do without. @throws {PresetError} without its value */
export function required(partner: string, input: PresetInput, name: PresetSetting): string {
  const { [name]: value } = input;
  const { fits, says } = SETTINGS[name];
  if (typeof value === 'string' && fits.test(value)) return value;
  throw new PresetError(partner, name, `needs ${value === undefined ? '' : 'another '}${name}; ${says}`);
}
