import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { LabService } from './lab.js';

it('reads the report of the organisation that the job is for', async () => {
  const kit = OAuthClientTestingModule.forRoot({
    lab: {
      token: ({ tenant }) => `token-of-${tenant ?? 'nobody'}`,
      answer: ({ url, token }) => ({ url, token }),
    },
  });
  const module = await Test.createTestingModule({ imports: [kit], providers: [LabService] }).compile();
  const report = await module.get(LabService).reportFor('north');
  assert.deepEqual(report, { url: '/report', token: 'token-of-north' });
});
