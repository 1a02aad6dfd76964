import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PharmacyService, PharmacyTokenService } from './pharmacy.js';

async function testing(kit: ReturnType<typeof OAuthClientTestingModule.forRoot>) {
  const providers = [PharmacyService, PharmacyTokenService];
  return Test.createTestingModule({ imports: [kit], providers }).compile();
}

it('reads a patient’s orders from the pharmacy', async () => {
  const answer = ({ url }: { url?: string }) => ({ url });
  const module = await testing(OAuthClientTestingModule.forRoot({ pharmacy: { answer } }));
  assert.deepEqual(await module.get(PharmacyService).orders('7'), { url: '/patients/7/orders' });
});

it('gives the token to those who set the header themselves', async () => {
  const module = await testing(OAuthClientTestingModule.forRoot({ pharmacy: 'my-token' }));
  assert.equal(await module.get(PharmacyTokenService).getToken(), 'my-token');
});
