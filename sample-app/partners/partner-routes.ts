/** The partners: their OAuth client, their name, and a route of the back end that calls them. */
export const PARTNER_ROUTES = [
  { client: 'buoy', name: 'Buoy Health', path: '/triage/suggestions?text=hip+pain' },
  { client: 'honeybee', name: 'Honeybee Health', path: '/patients/p-1001/prescriptions' },
  { client: 'lab', name: 'Laboratory', path: '/patients/p-1001/lab-results' },
] as const;

/** Name of a partner's OAuth client. */
export type ClientName = (typeof PARTNER_ROUTES)[number]['client'];
