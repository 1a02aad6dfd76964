// What ours has to reach; `npm run bench -- --check` fails on any that is missed.

/** Every target with what was measured: `{ what, value, limit, unit, met }`. */
export function targets(results) {
  const found = [];
  const atMost = (what, value, limit, unit) =>
    found.push({ what, value, limit: `≤ ${number(limit)}`, unit, met: value <= limit });
  const exactly = (what, value, limit) =>
    found.push({ what, value, limit: `= ${limit}`, unit: '', met: value === limit });
  const own = (rows) => rows.find(({ name }) => name === 'ours');

  if (results.cached) {
    // The fastest peer reads one clock and ours reads two, as a token must end by either. Where one reading costs
    // as much as an awaited promise, that difference alone is more than a quarter of the peer's call.
    atMost('cached getToken, to the fastest peer', own(results.cached).toFastestPeer, 1.3, '×');
  }
  if (results.requests) {
    atMost(
      'authorized request on a stub adapter, to bare Axios',
      own(results.requests.stub).toLimit,
      1.05,
      '×',
    );
  }
  if (results.fetches) {
    const { mock, loopback, cold } = results.fetches;
    atMost("authorized fetch on undici's mock, to bare fetch", own(mock).toLimit, 1.1, '×');
    atMost('authorized fetch over loopback, to bare fetch', own(loopback).toLimit, 1.1, '×');
    exactly('1000 cold callers by fetch: token requests', own(cold).tokenRequests, 1);
    exactly('1000 cold callers by fetch: served', own(cold).served, 1_000);
  }
  for (const [count, rows] of Object.entries(results.callers ?? {})) {
    const { ms, tokenRequests, served } = own(rows);
    exactly(`${count} callers on an expired token: token requests`, tokenRequests, 1);
    exactly(`${count} callers on an expired token: served`, served, Number(count));
    if (count === '10000') atMost('10000 callers on an expired token: wall time', ms, 1.2 * 50 + 15, 'ms');
  }
  for (const [lifetime, count] of Object.entries(
    results.sequential ? own(results.sequential).byLifetime : {},
  )) {
    exactly(`20 calls on a token of ${lifetime} s: token requests`, count, 1);
  }
  if (results.unauthorized) {
    const { tokenRequests, succeeded } = own(results.unauthorized);
    exactly('100 staggered 401s: token requests', tokenRequests, 1);
    exactly('100 staggered 401s: succeeded', succeeded, 100);
  }
  if (results.outage) {
    const { long, short, unhandled } = own(results.outage);
    exactly('outage under a valid token: failed calls', long.failed + short.failed, 0);
    exactly('outage: unhandled rejections', unhandled, 0);
  }
  if (results.keys) {
    const { bySize } = own(results.keys);
    const at = bySize.find(({ size }) => size === 10_000);
    atMost('lookup at 10,000 keys, to 10', at.growth, mostGrowth(at), '×');
    atMost('memory per key at 10,000 keys, sent tokens', at.bytesUsed, 2_048, 'B');
  }
  if (results.tenants) {
    const at = results.tenants.find(({ size }) => size === 10_000);
    atMost('request of one of 10,000 tenants, to one of 10', at.requestGrowth, 1.3, '×');
    atMost('lookup of 10,000 tenants, to 10', at.growth, mostGrowth(at), '×');
    exactly('10,000 tenants: asked for options', at.asked, 10_000);
  }
  if (results.fleet) {
    const { rows, waiters } = results.fleet;
    exactly('8 processes on Redis: token requests', own(rows).tokenRequests, 1);
    for (const { latencyMs, medianMs } of waiters) {
      atMost(`waiting for another's token request of ${latencyMs} ms, beyond it`, medianMs, 50, 'ms');
    }
  }
  return found;
}

/** What does not fit into the processor's caches takes longer to find in any map. */
function mostGrowth({ mapGrowth }) {
  return Math.max(1.3, 1.1 * mapGrowth);
}

/** Three significant digits, but whole numbers whole. */
export function number(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
