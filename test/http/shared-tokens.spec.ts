import { describe, expect, it } from '@jest/globals';
import { MemoryTokenStore, TokenRequestError } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';

describe('Tokens that callers share, over sockets', () => {
  it('10. An evicted key is simply fetched again', async () => {
    const { server, tokens } = await Application.withServer(
      {},
      { store: new MemoryTokenStore({ maxEntries: 20 }) },
    );
    for (let i = 0; i < 100; i++) await tokens.getToken('api', { scope: `scope-${i}` });
    expect(server.tokenRequests).toHaveLength(100);
    await tokens.getToken('api', { scope: 'scope-99' });
    expect(server.tokenRequests).toHaveLength(100);
    await tokens.getToken('api', { scope: 'scope-0' });
    expect(server.tokenRequests).toHaveLength(101);
  });

  it('11. Invalidate one key → only that is fetched again; one client → all of its keys', async () => {
    const { server, tokens } = await Application.withServer();
    const read = await tokens.getToken('api', { scope: 'read' });
    const write = await tokens.getToken('api', { scope: 'write' });
    tokens.invalidate('api', read);
    expect((await tokens.getToken('api', { scope: 'read' })).value).not.toBe(read.value);
    expect(await tokens.getToken('api', { scope: 'write' })).toBe(write);
    expect(server.tokenRequests).toHaveLength(3);
    tokens.invalidate('api');
    await Promise.all([
      tokens.getToken('api', { scope: 'read' }),
      tokens.getToken('api', { scope: 'write' }),
    ]);
    expect(server.tokenRequests).toHaveLength(5);
  });

  it('13. That POST fails → all waiters get the same typed error; the next call follows the failure rules', async () => {
    const { server, tokens } = await Application.withServer();
    server.respondWith({ status: 400, body: { error: 'invalid_scope' } });
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => tokens.getToken('api')));
    const reasons = outcomes.map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as unknown) : undefined,
    );
    expect(new Set(reasons).size).toBe(1);
    expect(reasons[0]).toBeInstanceOf(TokenRequestError);
    await expect(tokens.getToken('api')).rejects.toBe(reasons[0]); // remembered for 5 s
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('16. A caller arriving after completion never joins the finished flight; nobody resolves with undefined', async () => {
    const { server, tokens } = await Application.withServer();
    const first = await Promise.all(Array.from({ length: 50 }, () => tokens.getToken('api')));
    tokens.invalidate('api');
    const second = await Promise.all(Array.from({ length: 50 }, () => tokens.getToken('api')));
    expect(new Set([...first, ...second].map((token) => token.value)).size).toBe(2);
    expect(first).not.toContain(undefined);
    expect(second).not.toContain(undefined);
    expect(server.tokenRequests).toHaveLength(2);
  });
});
