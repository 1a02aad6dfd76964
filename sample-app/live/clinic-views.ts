import { Inject, Injectable } from '@nestjs/common';
import { OAuthTokenService, type OAuthClientEvent, type OAuthClientState } from 'nestjs-oauth-client';
import { ImagingAccounts } from '../imaging/imaging-accounts.js';
import { CLINIC_ROUTES, IMAGING } from '../partners/partner-routes.js';
import type { Sandboxes } from '../partners/start-sandboxes.js';
import { PartnerCalls, type CallCount } from './partner-calls.js';
import { SANDBOXES } from './sandboxes.token.js';

/** A clinic at the imaging archive, as the page shows it. */
export interface ClinicView extends CallCount {
  clinic: string;
  name: string;
  /** `removed`: the application has no account of it. */
  state: OAuthClientState | 'removed';
  /** The present token, and how many the clinic has had. */
  token?: { number: number; acquiredAt: number; expiresAt: number; reason: string };
  tokenRequests: number;
  /** Calls that got a 401 since the last revocation. */
  refusedCalls: number;
}

/** What is known of a clinic from the events, which carry its tenant: `status()` has one row for the client. */
type Known = Pick<ClinicView, 'token'> & { failed: boolean };

/** The clinics, each a tenant of the imaging archive's client. */
@Injectable()
export class ClinicViews {
  readonly #known = new Map<string, Known>();

  constructor(
    tokens: OAuthTokenService,
    private readonly accounts: ImagingAccounts,
    private readonly calls: PartnerCalls,
    @Inject(SANDBOXES) private readonly sandboxes: Sandboxes,
  ) {
    tokens.events$.subscribe((event) => this.#note(event));
  }

  all(): ClinicView[] {
    return CLINIC_ROUTES.map(({ clinic, name }) => ({
      clinic,
      name,
      state: this.#stateOf(clinic),
      ...(this.accounts.has(clinic) && this.#tokenOf(clinic)),
      ...this.calls.count(clinic),
      ...this.sandboxes.imaging.countsOf(clinic),
    }));
  }

  /** Routes that call the archive for the clinics that there are. */
  paths(): string[] {
    return CLINIC_ROUTES.filter(({ clinic }) => this.accounts.has(clinic)).map(({ path }) => path);
  }

  /** What happened before it was removed is over. */
  forget(clinic: string): void {
    this.#known.delete(clinic);
  }

  #tokenOf(clinic: string): Pick<ClinicView, 'token'> {
    const token = this.#known.get(clinic)?.token;
    return token === undefined ? {} : { token };
  }

  #stateOf(clinic: string): ClinicView['state'] {
    if (!this.accounts.has(clinic)) return 'removed';
    const known = this.#known.get(clinic);
    if (known === undefined) return 'idle';
    const isValid = known.token !== undefined && known.token.expiresAt > Date.now();
    if (isValid) return known.failed ? 'degraded' : 'fresh';
    return known.failed ? 'down' : 'idle';
  }

  #note(event: OAuthClientEvent): void {
    if (!('client' in event) || event.client !== IMAGING.client || event.tenant === undefined) return;
    const { tenant } = event;
    const known = this.#known.get(tenant);
    switch (event.type) {
      case 'token_acquired': {
        const { reason, durationMs } = event;
        const expiresAt = event.expiresAt.getTime();
        // lifetimes are whole seconds; the way here took a moment
        const lifetimeMs = Math.round((expiresAt - Date.now() + durationMs) / 1000) * 1000;
        const number = (known?.token?.number ?? 0) + 1;
        const token = { number, acquiredAt: expiresAt - lifetimeMs, expiresAt, reason };
        this.#known.set(tenant, { token, failed: false });
        break;
      }
      case 'token_refresh_failed':
      case 'token_request_failed':
        this.#known.set(tenant, { ...known, failed: true });
        break;
      default:
    }
  }
}
