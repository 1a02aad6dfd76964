import 'reflect-metadata';
import { NotFoundException } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RecordsService } from './records.js';

async function recordsThatAnswer(answer: object) {
  const kit = OAuthClientTestingModule.forRoot({ records: { answer } });
  const module = await Test.createTestingModule({ imports: [kit], providers: [RecordsService] }).compile();
  return module.get(RecordsService);
}

it('reads the records through an instance of its own', async () => {
  const records = await recordsThatAnswer(['blood count']);
  assert.deepEqual(await records.mine(), ['blood count']);
});

it('says that there is no such record', async () => {
  const records = await recordsThatAnswer({ status: 404 });
  await assert.rejects(records.mine(), NotFoundException);
});
