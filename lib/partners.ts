/**
 * Presets for partner APIs.
 *
 * @module nestjs-oauth-client/partners
 */

export { buoy, honeybee, type PartnerOptions } from './options/presets.js';
