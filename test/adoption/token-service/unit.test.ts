import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { AuthorizationServerUnavailableError, OriginNotAllowedError } from 'nestjs-oauth-client';
import { OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PharmacyService, PharmacyTokenService, isWorthARetry } from './pharmacy.js';

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

it('retries a job when the partner is down, and not when the order is wrong', async () => {
  let isDown = true;
  const token = () => {
    if (isDown) throw new AuthorizationServerUnavailableError('down');
    return 'token';
  };
  const answer = { status: 422, body: { detail: 'No such patient.' } };
  const module = await testing(OAuthClientTestingModule.forRoot({ pharmacy: { token, answer } }));
  const failure = () =>
    module
      .get(PharmacyService)
      .orders('7')
      .catch((error: unknown) => error);
  assert.equal(isWorthARetry(await failure()), true);
  isDown = false;
  assert.equal(isWorthARetry(await failure()), false);
  assert.equal(isWorthARetry(new OriginNotAllowedError('pharmacy', 'https://other.test')), false);
});
