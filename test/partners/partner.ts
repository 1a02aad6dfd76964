import type { OAuthClientOptions } from 'nestjs-oauth-client';
import {
  buoy,
  entra,
  googleServiceAccount,
  honeybee,
  shopify,
  smartBackend,
  walmart,
  zoom,
} from 'nestjs-oauth-client/partners';
import type { FakeAuthorizationServerOptions, FakeDemands, FakeResponse } from 'nestjs-oauth-client/testing';
import { variableOf } from '../../lib/options/environment.js';
import { OPTION_SCHEMA, flatten } from '../../lib/options/option-schema.js';

/** A partner as its public documentation describes it, and the options that serve it. */
export interface Partner {
  name: string;
  /** The page that the demands are taken from; left out for kinds of partners. */
  source?: string;
  /** The demands are those that other public descriptions name: the page was not read, or does not say all of them. */
  secondhand?: true;
  /** The preset, if there is one; `options` are then its settings. */
  preset?: keyof typeof PRESETS;
  /** What the partner needs besides its credentials. */
  options: Options;
  /** What the client has: an id and a secret, an id and a private key in a file, or what the options say themselves. */
  credentials: 'secret' | 'key' | 'own';
  demands: FakeDemands;
  /** How the partner answers, where it is not as in RFC 6749. */
  answers?: Pick<
    FakeAuthorizationServerOptions,
    'expiresIn' | 'tokenPath' | 'tokenResponse' | 'refusalResponse'
  >;
  /** Lifetime of a token, in seconds. */
  lifetime: number;
  /** The page does not say the lifetime; each answer does. */
  lifetimeVaries?: true;
  /** What the API answers to a dead token, where it is not a 401. */
  deadToken?: FakeResponse;
  /** An option with which the partner does not work. Default: another place for the credentials. */
  wrong?: Options;
  /** The text of options that hold functions. */
  shown?: string;
}

/** Options, and the settings of presets. */
export type Options = OAuthClientOptions & Record<string, unknown>;

const PRESETS = { buoy, entra, googleServiceAccount, honeybee, shopify, smartBackend, walmart, zoom };

/** When the pages were read. */
export const CHECKED = '2026-11-28';
export const CLIENT = { clientId: 'clinic', clientSecret: 'shown-once-to-the-clinic' };
export const FORM = 'application/x-www-form-urlencoded';
export const JSON_TYPE = 'application/json';
export const KEY_ID = 'key-1';

/** Most partners by far: a form with the grant, and the credentials in one place. */
export const basic = (parameters: FakeDemands['parameters'] = {}): FakeDemands => ({
  contentType: FORM,
  authentication: 'client_secret_basic',
  parameters: { grant_type: 'client_credentials', ...parameters },
});
export const post = (parameters: FakeDemands['parameters'] = {}): FakeDemands => ({
  ...basic(parameters),
  authentication: 'client_secret_post',
});

/** What the client of a partner is configured with: `here` has the addresses of the fake, and its files. */
export function optionsOf(
  partner: Partner,
  here: Options,
  files: Record<string, string>,
): OAuthClientOptions {
  const own = { ...credentialsOf(partner), ...partner.options, ...here };
  const placed = inFolder(own, files) as Options;
  const make = partner.preset && (PRESETS[partner.preset] as (options: Options) => OAuthClientOptions);
  return make ? make(placed) : placed;
}

function credentialsOf({ credentials }: Partner): Options {
  if (credentials === 'secret') return CLIENT;
  const key = { clientId: CLIENT.clientId, privateKeyFile: 'private.pem', keyId: KEY_ID };
  return credentials === 'key' ? key : {};
}

/** Paths of files, wherever they stand, as those in the folder of the test. */
function inFolder(value: unknown, files: Record<string, string>): unknown {
  if (typeof value === 'string') return files[value] ?? value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, inFolder(inner, files)]));
}

/** The same as variables of a client named `partner`; `undefined` where a function is needed. */
export function variablesOf(partner: Partner, here: Options, files: Record<string, string>) {
  const own = inFolder({ ...credentialsOf(partner), ...partner.options, ...here }, files) as Options;
  const flat = flatten(own);
  const isPlain = [...flat].every(
    ([path, value]) =>
      typeof value !== 'function' &&
      (OPTION_SCHEMA[path]?.read !== undefined || partner.preset || isGroup(value)),
  );
  if (!isPlain) return undefined;
  const texts = [...flat]
    .filter(([, value]) => !isGroup(value))
    .map(([path, value]) => [variableOf('partner', path), textOf(value)]);
  return {
    OAUTH_CLIENTS: 'partner',
    ...(partner.preset && { OAUTH_PARTNER_PARTNER: partner.preset }),
    ...(Object.fromEntries(texts) as Record<string, string>),
  };
}

const isGroup = (value: unknown) =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(',');
  if (value === '') return 'none';
  return typeof value === 'object'
    ? new URLSearchParams(value as Record<string, string>).toString()
    : (value as string | number).toString();
}
