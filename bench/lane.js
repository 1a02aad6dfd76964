// One contestant in a process of its own: its code, its heap and its optimised functions are its own.
// node --expose-gc lane.js <contestant>
import { createHash, randomUUID, webcrypto } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { axios, contestants } from './contestants.js';
import { median } from './median.js';
import { answer } from './rpc.js';
import { fakeToken, mockApi, stubAdapter, stubFetch, stubTokenAdapter } from './stubs.js';

const { create } = contestants[process.argv[2]];
let unhandled = 0;
process.on('unhandledRejection', () => unhandled++);

let environment;
let own;
let plain;
let tenants;
let lookups = 0;

/**
 * Nanoseconds per operation: of the CPU, whatever else the machine does meanwhile; for what waits on a network, of
 * the wall clock.
 */
async function timed(iterations, once, clock = cpuMs) {
  const startedAt = clock();
  for (let i = 0; i < iterations; i++) await once(i);
  return ((clock() - startedAt) / iterations) * 1e6;
}

/** All threads of this process, so that the garbage collector's work counts. */
function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

const wallMs = () => performance.now();

/**
 * Small batches of both, in turns, so that a pause of the machine or of the garbage collector spoils few of them.
 * Medians, in nanoseconds per operation.
 */
function sideBySide({ iterations, batches }, once, limit, clock = cpuMs) {
  const work = async () => {
    const samples = [];
    for (let i = 0; i < batches; i++) {
      const before = i % 2 ? await timed(iterations, limit, clock) : undefined;
      const ns = await timed(iterations, once, clock);
      samples.push({ ns, limitNs: before ?? (await timed(iterations, limit, clock)) });
    }
    return {
      ns: median(samples.map(({ ns }) => ns)),
      limitNs: median(samples.map(({ limitNs }) => limitNs)),
      toLimit: median(samples.map(({ ns, limitNs }) => ns / limitNs)),
    };
  };
  return own.within ? own.within(work) : work();
}

const headerOf = (token) => (own.header ? own.header(token) : `Bearer ${token}`);

function withTokens(config) {
  if (own.http) return own.http(config);
  const instance = axios.create(config);
  instance.interceptors.request.use(async (request) => {
    request.headers.set('Authorization', headerOf(await own.getToken()));
    return request;
  });
  return instance;
}

function usedHeap() {
  for (let i = 0; i < 4; i++) globalThis.gc();
  return process.memoryUsage().heapUsed;
}

async function inParallel(count, width, work) {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(width, count) }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

const operations = {
  /** A new instance without a token. */
  open: async (given) => {
    await own?.close?.();
    environment = given;
    own = await create(given);
    unhandled = 0;
  },
  prime: async () => void (await own.getToken()),

  cached: (rounds) => {
    const settled = Promise.resolve();
    return sideBySide(
      rounds,
      () => own.getToken(),
      () => settled,
    );
  },

  /** Instances for `request`: `stub`, where the request goes nowhere, or over loopback. */
  connect: ({ stub }) => {
    const config = { baseURL: environment.apiUrl, ...(stub && { adapter: stubAdapter }) };
    const Authorization = `Bearer ${fakeToken()}`;
    plain = {
      bare: axios.create({ ...config, headers: { Authorization } }),
      tokens: withTokens(config),
      clock: stub ? cpuMs : wallMs,
    };
  },
  request: (rounds) =>
    sideBySide(
      rounds,
      () => plain.tokens.get('/api/items'),
      () => plain.bare.get('/api/items'),
      plain.clock,
    ),

  /** The same for `fetched`: over undici's mock, where the request goes nowhere, or over loopback. */
  connectFetch: async ({ mock }) => {
    const url = `${environment.apiUrl}/api/items`;
    if (mock) await mockApi(url);
    const headers = { Authorization: `Bearer ${fakeToken()}` };
    plain = {
      bare: async () => (await fetch(url, { headers })).text(),
      tokens: async () => (await own.fetch(url)).text(),
      clock: mock ? cpuMs : wallMs,
    };
  },
  fetched: (rounds) => sideBySide(rounds, plain.tokens, plain.bare, plain.clock),
  /** `count` requests at once, by fetch; how many the API accepted. */
  fetchers: async ({ count }) => {
    const startedAt = performance.now();
    const statuses = await Promise.all(
      Array.from({ length: count }, async () => {
        const response = await own.fetch(`${environment.apiUrl}/api/items`);
        await response.text();
        return response.status;
      }),
    );
    const served = statuses.filter((status) => status === 200).length;
    return { ms: performance.now() - startedAt, served };
  },

  callers: async ({ count }) => {
    const startedAt = performance.now();
    const served = await new Promise((resolve) => {
      let settled = 0;
      let got = 0;
      const settle = () => ++settled === count && resolve(got);
      const onToken = () => {
        got++;
        settle();
      };
      for (let i = 0; i < count; i++) own.getToken().then(onToken, settle);
    });
    const endedAt = performance.now();
    return { ms: endedAt - startedAt, served, at: performance.timeOrigin + endedAt };
  },
  /** The limit of `callers`: one token request over bare Axios. */
  bareTokenRequest: async () => {
    const startedAt = performance.now();
    await axios.post(environment.tokenUrl, 'grant_type=client_credentials');
    return performance.now() - startedAt;
  },
  sequential: async ({ calls }) => {
    for (let i = 0; i < calls; i++) await own.getToken();
  },

  staggered: async ({ count, staggerMs }) => {
    const results = await Promise.allSettled(
      Array.from({ length: count }, (_, i) =>
        own.send(`${environment.apiUrl}/api?staggerMs=${i * staggerMs}`),
      ),
    );
    return results.filter(({ value }) => value === 200).length;
  },

  /** Calls every `everyMs` for `forMs`; how many got a token. */
  calls: async ({ everyMs, forMs }) => {
    const end = performance.now() + forMs;
    let served = 0;
    let failed = 0;
    while (performance.now() < end) {
      const settled = await Promise.race([
        own.getToken().then(
          () => true,
          () => false,
        ),
        sleep(2_000, false),
      ]);
      if (settled) served++;
      else failed++;
      await sleep(everyMs);
    }
    return { served, failed };
  },
  unhandled: () => unhandled,

  /** Tokens of many tenants: heap growth per key, before and after each header went out. */
  fill: async ({ count }) => {
    tenants = shuffled(Array.from({ length: count }, (_, i) => `tenant-${i}`));
    globalThis.fetch = stubFetch;
    const byTenant = new Map();
    if (process.argv[2] === 'ours') {
      const { MemoryTokenStore } = await import('../dist/lib/index.js');
      await operations.open({
        ...environment,
        options: { http: { adapter: stubTokenAdapter('Bearer') } },
        module: { store: new MemoryTokenStore({ maxEntries: 200_000 }) },
      });
      plain = { get: (tenant) => own.getTokenFor({ parameters: { tenant } }), map: byTenant };
      await own.getToken();
    } else {
      plain = { get: async (tenant) => byTenant.get(`bench:${tenant}`).getToken(), map: byTenant };
    }
    const acquire = async (tenant) => {
      if (process.argv[2] !== 'ours') byTenant.set(`bench:${tenant}`, await create(environment));
      await plain.get(tenant);
    };
    const send = async (tenant) => {
      const token = await plain.get(tenant);
      // As sending does: joins the pieces of the string.
      (token.authorization ?? headerOf(token)).charCodeAt(0);
    };
    // The code itself takes memory, too.
    await inParallel(500, 50, (i) => acquire(`warm-${i}`));
    await inParallel(500, 1, (i) => send(`warm-${i}`));
    const before = usedHeap();
    await inParallel(count, 50, (i) => acquire(tenants[i]));
    const acquired = usedHeap();
    await inParallel(count, 1, (i) => send(tenants[i]));
    const used = usedHeap();
    return { acquired: (acquired - before) / count, used: (used - before) / count };
  },
  /** Tenants with options of their own, each with a token; how often their options were asked for. */
  fillTenants: async ({ count }) => {
    tenants = shuffled(Array.from({ length: count }, (_, i) => `tenant-${i}`));
    let asked = 0;
    const ask = async (tenant) => {
      asked++;
      return { clientId: tenant };
    };
    await operations.open({
      ...environment,
      options: { tenants: ask, http: { adapter: stubTokenAdapter('Bearer') } },
      module: { maxTenants: count },
    });
    const config = { baseURL: environment.apiUrl, adapter: stubAdapter };
    plain = {
      get: (tenant) => own.getTokenFor({ tenant }),
      tokens: own.http(config),
      bare: axios.create(config),
    };
    await inParallel(count, 50, (i) => plain.get(tenants[i]));
    return asked;
  },
  /** The limit of `lookup`: a plain Map from tenant to promise. */
  fillMap: () => {
    plain.map = new Map(tenants.map((tenant) => [`bench:${tenant}`, Promise.resolve({ tenant })]));
  },
  /** Goes on with those that come next, so that all have their turn. */
  lookup: (rounds) =>
    sideBySide(
      rounds,
      () => plain.get(nextTenant()),
      () => plain.map.get(`bench:${nextTenant()}`),
    ),

  /** Requests of one tenant after the other on a stub adapter; the limit is bare Axios. */
  tenantRequest: (rounds) =>
    sideBySide(
      rounds,
      () => plain.tokens.get('/api/items', { oauth: { tenant: nextTenant() } }),
      () => plain.bare.get('/api/items'),
    ),

  /** Proofs: ours on a stub adapter; the limit is bare Axios with jose, and WebCrypto alone. */
  openDpop: async () => {
    const { SignJWT, exportJWK, generateKeyPair } = await import('jose');
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const token = fakeToken();
    const sign = () =>
      new SignJWT({
        jti: randomUUID(),
        htm: 'GET',
        htu: `${environment.apiUrl}/api/items`,
        iat: Math.floor(Date.now() / 1000),
        ath: createHash('sha256').update(token).digest('base64url'),
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .sign(privateKey);
    const bytes = new TextEncoder().encode('x'.repeat(400));
    const bare = axios.create({ baseURL: environment.apiUrl, adapter: stubAdapter });
    plain = {
      webcrypto: () => webcrypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, bytes),
      jose: sign,
      bareAxios: async () =>
        bare.get('/api/items', { headers: { Authorization: `DPoP ${token}`, DPoP: await sign() } }),
    };
    if (process.argv[2] === 'ours') {
      const http = { adapter: stubTokenAdapter('DPoP') };
      await operations.open({ ...environment, options: { dpop: true, http } });
      const instance = withTokens({ baseURL: environment.apiUrl, adapter: stubAdapter });
      plain.own = () => instance.get('/api/items');
    } else {
      const { Configuration, customFetch, fetchProtectedResource, getDPoPHandle, randomDPoPKeyPair } =
        await import('openid-client');
      const config = new Configuration({ issuer: 'https://loopback' }, 'bench', 'bench-secret');
      config[customFetch] = async () => new Response('{}');
      const DPoP = getDPoPHandle(config, await randomDPoPKeyPair('ES256'));
      const url = new URL('https://loopback/api/items');
      plain.own = () => fetchProtectedResource(config, token, url, 'GET', undefined, undefined, { DPoP });
    }
    await plain.own();
  },
  sign: async ({ iterations }) => {
    const ns = {};
    for (const [name, once] of Object.entries(plain)) ns[name] = await timed(iterations, once);
    return ns;
  },
};

function nextTenant() {
  return tenants[lookups++ % tenants.length];
}

/** The same in each run. */
function shuffled(texts) {
  const hashOf = (text) => createHash('sha256').update(text).digest('hex');
  return texts.toSorted((a, b) => (hashOf(a) < hashOf(b) ? -1 : 1));
}

answer(operations);
