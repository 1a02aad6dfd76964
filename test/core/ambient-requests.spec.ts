import { describe, expect, it } from '@jest/globals';
import { Observable, firstValueFrom, lastValueFrom, timer } from 'rxjs';
import { AccessToken } from '../../lib/core/access-token.js';
import { AmbientRequests, ambientToken, type PreparedClients } from '../../lib/core/ambient-requests.js';
import type { TokenRequest } from '../../lib/core/token-request.js';
import { Scenario } from './scenario.js';
import { START } from './virtual-clock.js';

const tokenOf = (value: string) => new AccessToken({ value, tokenType: 'Bearer', expiresAt: START });

function prepared(client: string, request: TokenRequest | undefined): PreparedClients {
  return new Map([[client, { request, token: tokenOf(`token of ${client}`) }]]);
}

const scopeOf = () => ({ call: {}, handler: {} });

/** What `look` sees from inside of `work`. */
const seen = <T>(look: () => T): (() => Observable<T>) => {
  return () =>
    new Observable((subscriber) => {
      subscriber.next(look());
      subscriber.complete();
    });
};

describe('The requests that hold for a handler', () => {
  it('62. hold inside of it and nowhere else', async () => {
    const ambient = new AmbientRequests();
    const request = { scope: 'a' };
    const look = () => ambient.requestOf('buoy');
    const run$ = ambient.run(scopeOf(), prepared('buoy', request), seen(look));
    expect(look()).toBeUndefined();
    expect(await firstValueFrom(run$)).toBe(request);
    expect(look()).toBeUndefined();
  });

  it('78. hold in all that the handler does later, also while its observable is read', async () => {
    const ambient = new AmbientRequests();
    const request = { scope: 'a' };
    const look = async () => {
      await lastValueFrom(timer(1));
      return ambient.requestOf('buoy');
    };
    const run$ = ambient.run(scopeOf(), prepared('buoy', request), seen(look));
    expect(await firstValueFrom(run$)).toBe(request);
  });

  it('78. do not hold for what reads the options that all calls share, whatever it is read for', async () => {
    const { client, clock, endpoint, runtime } = new Scenario();
    await clock.until(client.getToken());
    const identity = endpoint.identity.bind(endpoint);
    const asked: unknown[] = [];
    endpoint.identity = async () => {
      asked.push(runtime.usedAmbient?.requestOf('buoy'));
      return identity();
    };
    const giveUp = seen(() => client.invalidate());
    await firstValueFrom(runtime.ambient.run(scopeOf(), prepared('buoy', { scope: 'a' }), giveUp));
    await clock.until(client.getToken());
    expect(asked).toEqual([undefined, undefined]);
  });

  it('62. reach through a handler that prepares other clients, and give way to a request for the same one', async () => {
    const ambient = new AmbientRequests();
    const [outer, inner] = [{ scope: 'outer' }, { scope: 'inner' }];
    const clients = ['buoy', 'honeybee', 'entra'];
    const look = () => clients.map((client) => ambient.requestOf(client));
    const within = (client: string, request: TokenRequest | undefined) =>
      firstValueFrom(
        ambient.run(scopeOf(), prepared('buoy', outer), () =>
          ambient.run(scopeOf(), prepared(client, request), seen(look)),
        ),
      );
    expect(await within('honeybee', inner)).toEqual([outer, inner, undefined]);
    expect(await within('buoy', inner)).toEqual([inner, undefined, undefined]);
    expect(await within('buoy', undefined)).toEqual([undefined, undefined, undefined]);
  });

  it('6. are of one module instance: clients of the same name in another one do not see them', async () => {
    const [one, two] = [new AmbientRequests(), new AmbientRequests()];
    const [ofOne, ofTwo] = [{ scope: 'one' }, { scope: 'two' }];
    const look = () => [one.requestOf('buoy'), two.requestOf('buoy')];
    const inOne$ = one.run(scopeOf(), prepared('buoy', ofOne), seen(look));
    expect(await firstValueFrom(inOne$)).toEqual([ofOne, undefined]);
    const inBoth$ = one.run(scopeOf(), prepared('buoy', ofOne), () =>
      two.run(scopeOf(), prepared('buoy', ofTwo), seen(look)),
    );
    expect(await firstValueFrom(inBoth$)).toEqual([ofOne, ofTwo]);
  });

  it('62. are prepared once for each call, by each module instance', async () => {
    const [ambient, another] = [new AmbientRequests(), new AmbientRequests()];
    const scope = scopeOf();
    const look = () => [ambient.prepared(scope.call), ambient.prepared({}), another.prepared(scope.call)];
    expect(look()).toEqual([false, false, false]);
    const run$ = ambient.run(scope, prepared('buoy', undefined), seen(look));
    expect(await firstValueFrom(run$)).toEqual([true, false, false]);
  });

  it('62. come with the token that was acquired for this very handler', async () => {
    const scope = scopeOf();
    const look = () =>
      [
        ambientToken('buoy', scope.handler),
        ambientToken('honeybee', scope.handler),
        ambientToken('buoy', {}),
      ].map((token) => token?.value);
    expect(look()).toEqual([undefined, undefined, undefined]);
    const run$ = new AmbientRequests().run(scope, prepared('buoy', undefined), seen(look));
    expect(await firstValueFrom(run$)).toEqual(['token of buoy', undefined, undefined]);
  });

  it('42. Unsubscribing ends the work', () => {
    let ended = false;
    const work = () => new Observable<never>(() => () => (ended = true));
    const run$ = new AmbientRequests().run(scopeOf(), new Map(), work);
    run$.subscribe().unsubscribe();
    expect(ended).toBe(true);
  });
});
