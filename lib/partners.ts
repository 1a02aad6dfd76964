export { buoy, honeybee, type PartnerOptions } from './oauth/presets.js';
