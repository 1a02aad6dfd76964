/** The partners with one account: their OAuth client, their name, what calls them, and a route of the back end that does. */
export const PARTNER_ROUTES = [
  { client: 'buoy', name: 'Buoy Health', by: 'HttpService', path: '/triage/suggestions?text=hip+pain' },
  { client: 'honeybee', name: 'Honeybee Health', by: 'HttpService', path: '/patients/p-1001/prescriptions' },
  { client: 'lab', name: 'Laboratory', by: 'fetch', path: '/patients/p-1001/lab-results' },
] as const;

/** Name of a partner's OAuth client. */
export type ClientName = (typeof PARTNER_ROUTES)[number]['client'];

/** The partner where each clinic has an account: the clinics are the tenants of its OAuth client. */
export const IMAGING = { client: 'imaging', name: 'Imaging archive' } as const;

/** The clinics, and a route of the back end that calls the imaging archive for each. */
export const CLINIC_ROUTES = [
  { clinic: 'north', name: 'North clinic', path: '/clinics/north/patients/p-1001/images' },
  { clinic: 'south', name: 'South clinic', path: '/clinics/south/patients/p-1001/images' },
] as const;
