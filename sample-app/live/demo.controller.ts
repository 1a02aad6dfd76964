import {
  ConflictException,
  Controller,
  Delete,
  HttpCode,
  Inject,
  NotFoundException,
  Param,
  Post,
  Put,
} from '@nestjs/common';
import { OAuthTokenService } from 'nestjs-oauth-client';
import type { PartnerSandbox } from '../partners/partner-sandbox.js';
import { PARTNER_ROUTES, type ClientName } from '../partners/partner-routes.js';
import type { Sandboxes } from '../partners/start-sandboxes.js';
import { PartnerCalls, type CallCount } from './partner-calls.js';
import { SANDBOXES } from './sandboxes.token.js';

/** Two hundred calls, as they went. `tokenRequests` as the partner counts them. */
export interface BurstOutcome extends CallCount {
  tokenRequests: number;
  durationMs: number;
}

const BURST = 200;
const SHORT_LIFETIME_MS = 5_000;
const OUTAGE_MS = 20_000;
/** Its refresh falls due after 18 to 19 s, within the outage, which it outlives. */
const OUTAGE_LIFETIME_MS = 25_000;

/** The buttons of the partners with one account. They work on sandboxes only. */
@Controller('demo/:client')
export class DemoController {
  readonly #documentedMs: ReadonlyMap<string, number>;
  readonly #shortened = new Set<string>();

  constructor(
    private readonly tokens: OAuthTokenService,
    private readonly calls: PartnerCalls,
    @Inject(SANDBOXES) private readonly sandboxes: Sandboxes,
  ) {
    this.#documentedMs = new Map(
      Object.entries(sandboxes).map(([client, sandbox]) => [client, sandbox.tokenLifetimeMs]),
    );
  }

  /** Drops the token, if another one is to be had; then makes all calls at the same moment. */
  @Post('calls')
  @HttpCode(200)
  async burst(@Param('client') client: ClientName): Promise<BurstOutcome> {
    const sandbox = this.#sandbox(client);
    if (this.#isUp(client)) this.tokens.invalidate(client);
    const { tokenRequests } = sandbox;
    const startedAt = performance.now();
    const count = await this.calls.make(pathOf(client), BURST);
    return {
      ...count,
      tokenRequests: sandbox.tokenRequests - tokenRequests,
      durationMs: Math.round(performance.now() - startedAt),
    };
  }

  @Post('revocation')
  @HttpCode(204)
  revoke(@Param('client') client: ClientName): void {
    this.#sandbox(client).revokeAll();
  }

  /** Gets a token that outlives the outage, takes the authorization server down, and asks for another one in vain. */
  @Post('outage')
  @HttpCode(204)
  async outage(@Param('client') client: ClientName): Promise<void> {
    const sandbox = this.#sandbox(client);
    if (!this.#isUp(client)) throw new ConflictException('Its authorization server is down already.');
    await this.#replaceToken(client, OUTAGE_LIFETIME_MS);
    sandbox.tokenLifetimeMs = this.#lifetimeMs(client);
    sandbox.goDown(OUTAGE_MS);
    // an event tells the page that it failed
    await this.tokens.getToken(client, { forceRefresh: true }).catch(() => undefined);
  }

  @Put('short-tokens')
  @HttpCode(204)
  async shorten(@Param('client') client: ClientName): Promise<void> {
    this.#shortened.add(client);
    await this.#replaceToken(client, this.#lifetimeMs(client));
  }

  @Delete('short-tokens')
  @HttpCode(204)
  async lengthen(@Param('client') client: ClientName): Promise<void> {
    this.#shortened.delete(client);
    await this.#replaceToken(client, this.#lifetimeMs(client));
  }

  /** From now on tokens live so long. The one at hand makes way, if another one is to be had. */
  async #replaceToken(client: ClientName, lifetimeMs: number): Promise<void> {
    this.#sandbox(client).tokenLifetimeMs = lifetimeMs;
    if (!this.#isUp(client)) return;
    this.tokens.invalidate(client);
    await this.tokens.getToken(client);
  }

  #lifetimeMs(client: ClientName): number {
    return this.#shortened.has(client) ? SHORT_LIFETIME_MS : this.#documentedMs.get(client)!;
  }

  /** Whether the authorization server is up, and the OAuth client knows it. */
  #isUp(client: ClientName): boolean {
    const { backoffUntil } = this.tokens.client(client).status();
    return this.#sandbox(client).downForMs === 0 && backoffUntil === undefined;
  }

  #sandbox(client: ClientName): PartnerSandbox {
    const sandbox = PARTNER_ROUTES.some((route) => route.client === client) && this.sandboxes[client];
    if (!sandbox) throw new NotFoundException('There is no sandbox of that name.');
    return sandbox;
  }
}

function pathOf(client: ClientName): string {
  return PARTNER_ROUTES.find((route) => route.client === client)!.path;
}
