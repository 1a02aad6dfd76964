import {
  Body,
  Controller,
  Get,
  Module,
  Post,
  UnauthorizedException,
  type ExecutionContext,
} from '@nestjs/common';
import { ConfigModule, registerAs } from '@nestjs/config';
import { OAuthClientModule, UseOAuthClient, type OAuthClientModuleOptions } from 'nestjs-oauth-client';
import { RecordsService } from './records.js';

export const recordsConfig = registerAs('records', (): OAuthClientModuleOptions => ({
  clients: {
    records: {
      tokenEndpoint: process.env['RECORDS_TOKEN_URL'],
      baseURL: process.env['RECORDS_API_URL'],
      clientId: process.env['RECORDS_ID'],
      clientSecret: process.env['RECORDS_SECRET'],
      grant: { type: 'token_exchange' },
    },
  },
}));

/** Whose records these are: the token of the user who calls us. */
function subjectOf(context: ExecutionContext) {
  const request = context.switchToHttp().getRequest<{ headers: { authorization?: string } }>();
  const [scheme, subjectToken] = request.headers.authorization?.split(' ') ?? [];
  if (scheme?.toLowerCase() !== 'bearer' || !subjectToken) throw new UnauthorizedException();
  return { subjectToken };
}

@Controller('records')
@UseOAuthClient('records', subjectOf)
export class RecordsController {
  constructor(private readonly records: RecordsService) {}

  @Get()
  mine() {
    return this.records.mine();
  }

  @Post()
  add(@Body() record: object) {
    return this.records.add(record);
  }
}

export const oauth = OAuthClientModule.forRootAsync(recordsConfig.asProvider());

@Module({
  imports: [ConfigModule.forRoot(), oauth, OAuthClientModule.forFeature('records')],
  controllers: [RecordsController],
  providers: [RecordsService],
})
export class AppModule {}
