// The authorization server and API of a run, in a process of its own so that it does not disturb the measured loops.
// Each lane (the first path segment) has its own behaviour and counters.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { answer } from './rpc.js';

const lanes = new Map();

function lane(name) {
  let found = lanes.get(name);
  if (!found) {
    found = {
      latencyMs: 50,
      expiresIn: 3600,
      down: false,
      tokenRequests: 0,
      answeredAt: 0,
      revoked: new Set(),
      issued: new Set(),
    };
    lanes.set(name, found);
  }
  return found;
}

function send(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length });
  response.end(text);
}

async function token(own, request, response) {
  own.tokenRequests++;
  request.resume();
  if (own.down) return request.socket.destroy();
  await sleep(own.latencyMs);
  const value = randomBytes(600).toString('base64url'); // 800 characters
  own.issued.add(value);
  own.answeredAt = performance.timeOrigin + performance.now();
  send(response, 200, { access_token: value, token_type: 'Bearer', expires_in: own.expiresIn });
}

async function api(own, url, request, response) {
  const value = request.headers.authorization?.replace(/^Bearer /, '');
  if (!own.revoked.has(value)) return send(response, 200, { ok: true });
  await sleep(Number(url.searchParams.get('staggerMs') ?? 0));
  response.setHeader('www-authenticate', 'Bearer error="invalid_token"');
  send(response, 401, { error: 'invalid_token' });
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://loopback');
  const [, name, what] = url.pathname.split('/');
  const own = lane(name);
  const answered = what === 'token' ? token(own, request, response) : api(own, url, request, response);
  answered.catch((error) => response.destroy(error));
});
server.keepAliveTimeout = 60_000;
await new Promise((resolve) => {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }, resolve);
});

answer({
  origin: () => `http://127.0.0.1:${server.address().port}`,
  /** How long a lane's authorization server takes for a token is `latencyMs`, by default 50. */
  set: ({ name, ...behaviour }) => void Object.assign(lane(name), behaviour),
  /** From now on the API refuses every token issued so far. */
  revoke: ({ name }) => {
    const own = lane(name);
    own.revoked = own.issued;
    own.issued = new Set();
  },
  /** When the last answer with a token left, epoch milliseconds. */
  answeredAt: ({ name }) => lane(name).answeredAt,
  /** Token requests since the last question. */
  taken: ({ name }) => {
    const own = lane(name);
    const { tokenRequests } = own;
    own.tokenRequests = 0;
    return tokenRequests;
  },
});
