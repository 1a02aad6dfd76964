/**
 * Presets for partner APIs.
 *
 * @module nestjs-oauth-client/partners
 */

export {
  buoy,
  honeybee,
  smartBackend,
  type PartnerOptions,
  type SmartBackendOptions,
  entra,
  googleServiceAccount,
  shopify,
  walmart,
  zoom,
  type EntraOptions,
  type GoogleServiceAccountOptions,
  type ShopifyOptions,
  type ZoomOptions,
} from './options/presets.js';
