import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { AppModule, oauth } from './app.module.js';
import { NotesService, ReportsService } from './reports.js';

it('reads a report and writes a note in the whole application, which calls nobody', async () => {
  process.env['REPORTS_API_URL'] = 'https://reports.test';
  let issued = 0;
  const kit = OAuthClientTestingModule.forRoot({
    archive: {},
    reports: {
      token: () => `token-${(issued += 1)}`,
      answer: ({ method, token, body }) =>
        token === 'token-1' ? { status: 401 } : { method: method?.toUpperCase(), body },
    },
  });
  const module = await Test.createTestingModule({ imports: [AppModule] })
    .overrideModule(oauth)
    .useModule(kit)
    .compile();
  const report = (await module.get(ReportsService).report('7')) as { method: string };
  assert.equal(report.method, 'GET');
  assert.deepEqual(await module.get(NotesService).write('7', 'seen'), {
    method: 'PUT',
    body: { text: 'seen' },
  });
  assert.equal(issued, 2);
});
