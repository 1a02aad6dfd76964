import { Controller, Get } from '@nestjs/common';
import { OAuthTokenService, type OAuthClientStatus } from 'nestjs-oauth-client';

/** How each OAuth client fares. */
@Controller('status')
export class StatusController {
  constructor(private readonly tokens: OAuthTokenService) {}

  @Get()
  status(): OAuthClientStatus[] {
    return this.tokens.status();
  }
}
