import { Controller, Get, Module, Param, UnauthorizedException, type ExecutionContext } from '@nestjs/common';
import { OAuthClientModule, UseOAuthClient } from 'nestjs-oauth-client';
import { LabAccounts } from './accounts.js';
import { LabService } from './lab.js';

/** Which organisation a caller acts for. An application takes it from a session that it has checked. */
function organisationOf(context: ExecutionContext): string {
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
  const organisation = headers['x-organisation'];
  if (!organisation) throw new UnauthorizedException();
  return organisation;
}

@Controller('patients/:patient/results')
@UseOAuthClient('lab', (context) => ({ tenant: organisationOf(context) }))
export class ResultsController {
  constructor(private readonly lab: LabService) {}

  @Get()
  results(@Param('patient') patient: string) {
    return this.lab.results(patient);
  }
}

@Module({ providers: [LabAccounts], exports: [LabAccounts] })
export class AccountsModule {}

export const oauth = OAuthClientModule.forRootAsync({
  imports: [AccountsModule],
  inject: [LabAccounts],
  useFactory: (accounts: LabAccounts) => ({
    clients: {
      lab: {
        tokenEndpoint: process.env['LAB_TOKEN_URL'],
        tenants: async (organisation) => {
          const account = await accounts.findOne(organisation);
          if (account === undefined) return undefined;
          const { clientId, clientSecret, apiURL } = account;
          return { clientId, clientSecret, baseURL: apiURL };
        },
      },
    },
  }),
});

@Module({
  imports: [AccountsModule, oauth, OAuthClientModule.forFeature('lab')],
  controllers: [ResultsController],
  providers: [LabService],
})
export class AppModule {}
