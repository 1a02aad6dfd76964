import { COMMERCE } from './commerce.js';
import { HEALTH } from './health.js';
import { IDENTITY } from './identity.js';
import { KINDS } from './kinds.js';
import { LOGISTICS } from './logistics.js';
import { MEDIA } from './media.js';
import type { Partner } from './partner.js';
import { PAYMENT } from './payment.js';

/** Every partner, by field. */
export const PARTNERS: Readonly<Record<string, readonly Partner[]>> = {
  Health: HEALTH,
  'Payment and finance': PAYMENT,
  Logistics: LOGISTICS,
  'Commerce and travel': COMMERCE,
  'Identity and cloud': IDENTITY,
  'Media and services': MEDIA,
  'Kinds of partners': KINDS,
};
