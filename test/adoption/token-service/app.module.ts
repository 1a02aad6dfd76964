import { HttpModule } from '@nestjs/axios';
import { Controller, Get, Module, Param } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { OAuthClientModule, UseOAuthClient } from 'nestjs-oauth-client';
import { LabelsService, PharmacyService, PharmacyTokenService } from './pharmacy.js';

@Controller()
@UseOAuthClient('pharmacy')
export class PharmacyController {
  constructor(
    private readonly pharmacy: PharmacyService,
    private readonly labels: LabelsService,
  ) {}

  @Get('patients/:id/orders')
  orders(@Param('id') id: string) {
    return this.pharmacy.orders(id);
  }

  @Get('labels/:id')
  label(@Param('id') id: string) {
    return this.labels.label(id);
  }
}

export const oauth = OAuthClientModule.forRootAsync({
  inject: [ConfigService],
  useFactory: (config: ConfigService) => ({
    clients: {
      pharmacy: {
        tokenEndpoint: config.getOrThrow<string>('PHARMACY_AUTH_URL'),
        clientId: config.getOrThrow<string>('PHARMACY_CLIENT_ID'),
        clientSecret: config.getOrThrow<string>('PHARMACY_CLIENT_SECRET'),
        tokenEndpointAuthMethod: 'client_secret_post',
        baseURL: config.getOrThrow<string>('PHARMACY_API_URL'),
      },
    },
  }),
});

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true }),
    HttpModule.register({}),
    oauth,
    OAuthClientModule.forFeature('pharmacy'),
  ],
  controllers: [PharmacyController],
  providers: [PharmacyTokenService, PharmacyService, LabelsService],
})
export class AppModule {}
