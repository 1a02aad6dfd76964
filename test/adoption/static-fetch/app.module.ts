import { Controller, Get, Module, Param } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { OAuthClientModule, UseOAuthClient } from 'nestjs-oauth-client';
import { ArchiveService, NotesService, ReportsService } from './reports.js';

@Controller('reports')
@UseOAuthClient('reports')
export class ReportsController {
  constructor(
    private readonly reports: ReportsService,
    private readonly notes: NotesService,
  ) {}

  @Get(':id')
  async report(@Param('id') id: string) {
    const [report, note] = await Promise.all([this.reports.report(id), this.notes.write(id, 'read')]);
    return { report, note };
  }
}

export const oauth = OAuthClientModule.forRootAsync({
  inject: [ConfigService],
  useFactory: (config: ConfigService) => ({
    clients: {
      reports: {
        tokenEndpoint: config.getOrThrow<string>('REPORTS_TOKEN_URL'),
        clientId: config.getOrThrow<string>('REPORTS_CLIENT_ID'),
        clientSecret: config.getOrThrow<string>('REPORTS_CLIENT_SECRET'),
        baseURL: config.getOrThrow<string>('REPORTS_API_URL'),
      },
      archive: {
        baseURL: config.getOrThrow<string>('ARCHIVE_API_URL'),
        requestToken: () => ({ accessToken: config.getOrThrow<string>('ARCHIVE_TOKEN') }),
      },
    },
  }),
});

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true }),
    oauth,
    OAuthClientModule.forFeature('reports', 'archive'),
  ],
  controllers: [ReportsController],
  providers: [ReportsService, NotesService, ArchiveService],
})
export class AppModule {}
