// The loads that every peer is put under, and the one line of JSON that each measurement prints.
//
// A peer's program gives an object with `add` and what its modes need; what is measured, and from when to when, is
// decided here, so that it is the same for all of them.
//
//   enqueue   adds the jobs in batches, every call awaited, and leaves them there
//   drain     the same, then takes every job out again with a handler that does nothing
//   mix       adds jobs and takes them out at the same time; what was completed in the time between
//   latency   adds single jobs at an even rate; from the start of the call to the start of the handler

import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';

/** Bytes of every payload as JSON: as many as `windlass bench` gives its jobs. */
const PAYLOAD_BYTES = 200;

/** A mix is not measured before its programs and the server run at their speed. */
const WARM_UP_SECONDS = 3;

/** A payload of the agreed size that carries `fields`. */
function payload(fields) {
  const frame = JSON.stringify({ ...fields, text: '' }).length;
  return { ...fields, text: 'x'.repeat(PAYLOAD_BYTES - frame) };
}

/**
 * Runs the mode that the command line names. `peer` has `name`, `open(settings)` and `close()`, and makes the calls:
 * `add(payloads)`, `addOne(payload)`, `listen(handle, settings)`, and `work(done, settings)`, which starts a worker that
 * calls `done(jobs)` as it goes and answers with a function that stops it once all that it did is acknowledged.
 */
export async function main(peer) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      jobs: { type: 'string', default: '100000' },
      batch: { type: 'string', default: '1000' }, // jobs in one enqueue
      callers: { type: 'string', default: '1' }, // enqueues in flight
      concurrency: { type: 'string', default: '100' }, // handlers at once
      fetch: { type: 'string', default: '100' }, // jobs that a worker takes at once, where a peer has that
      way: { type: 'string', default: '' }, // which of its own ways to work, where a peer has several
      ahead: { type: 'string', default: '10000' }, // jobs that a mix keeps waiting
      rate: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '10' },
    },
  });
  const settings = { url: values.url, way: values.way };
  for (const name of ['jobs', 'batch', 'callers', 'concurrency', 'fetch', 'ahead', 'rate', 'seconds']) {
    settings[name] = Number(values[name]);
    if (!Number.isInteger(settings[name]) || settings[name] < 1) throw new Error(`--${name} ${values[name]}`);
  }
  const [mode] = positionals;
  const run = { enqueue, drain, mix, latency }[mode];
  if (!run || !settings.url) throw new Error('usage: enqueue|drain|mix|latency --url URL [--OPTION VALUE]...');
  await peer.open(settings);
  console.log(JSON.stringify({ peer: peer.name, mode, ...(await run(peer, settings)) }));
  await peer.close();
  // A pool or a timer that a peer leaves behind must not keep the comparison waiting.
  process.exit(0);
}

async function enqueue(peer, settings) {
  const { jobs, batch, callers } = settings;
  return { jobs, batch, callers, ...speed(jobs, await timed(() => add(peer, settings))) };
}

async function drain(peer, settings) {
  const added = await enqueue(peer, settings);
  // A planner that has not seen the new jobs yet drains at a third of the speed; a minute later it would have.
  await peer.settle?.();
  // From the start of the worker until its last completion has been answered.
  const drained = speed(settings.jobs, await timed(() => empty(peer, settings)));
  return { ...added, enqueue_per_s: added.per_s, enqueue_seconds: added.seconds, ...drained };
}

async function empty(peer, settings) {
  let left = settings.jobs;
  let last;
  const taken = new Promise((resolve) => (last = resolve));
  const stop = await peer.work((jobs) => {
    left -= jobs;
    if (left <= 0) last();
  }, settings);
  await taken;
  await stop();
}

async function mix(peer, { jobs: _, ...settings }) {
  const { seconds, batch, callers, ahead } = settings;
  let done = 0;
  const stop = await peer.work((jobs) => (done += jobs), settings);
  let added = 0;
  let over = false;
  const caller = async () => {
    const data = payload({});
    while (!over) {
      if (added - done >= ahead) {
        await pause(1);
        continue;
      }
      added += batch;
      await peer.add(Array.from({ length: batch }, () => data));
    }
  };
  const producers = Promise.all(Array.from({ length: callers }, caller));
  await Promise.race([producers, pause(WARM_UP_SECONDS * 1000)]);
  await peer.settle?.();
  const before = done;
  const took = await timed(() => Promise.race([producers, pause(seconds * 1000)]));
  const completed = done - before;
  over = true;
  await producers;
  await stop();
  return { jobs: completed, batch, callers, ahead, ...speed(completed, took) };
}

async function latency(peer, settings) {
  const { rate, seconds } = settings;
  const jobs = rate * seconds;
  const taken = [];
  await new Promise((resolve, reject) => {
    const handle = (data) => {
      taken.push(performance.now() - data.at);
      if (taken.length === jobs) resolve();
    };
    peer
      .listen(handle, settings)
      // What starting costs is not part of any job's latency.
      .then(() => pause(500))
      .then(() => paced(jobs, rate, () => peer.addOne(payload({ at: performance.now() }))))
      .catch(reject);
  });
  taken.sort((a, b) => a - b);
  const quantile = (share) => rounded(taken[Math.min(jobs - 1, Math.floor(jobs * share))]);
  return { jobs, rate, p50_ms: quantile(0.5), p99_ms: quantile(0.99), max_ms: rounded(taken[jobs - 1]) };
}

/** Adds all jobs in full batches, `callers` calls in flight. */
async function add(peer, { jobs, batch, callers }) {
  const data = payload({});
  let left = jobs;
  const caller = async () => {
    while (left > 0) {
      const size = Math.min(left, batch);
      left -= size;
      await peer.add(Array.from({ length: size }, () => data));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

/** Makes `jobs` calls at an even rate; a call does not wait for the one before. */
async function paced(jobs, rate, call) {
  const begin = performance.now();
  const calls = [];
  for (let number = 0; number < jobs; number += 1) {
    const early = begin + (number * 1000) / rate - performance.now();
    if (early > 0) await pause(early);
    calls.push(call());
  }
  await Promise.all(calls);
}

async function timed(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function speed(jobs, seconds) {
  return { seconds: rounded(seconds), per_s: rounded(jobs / seconds) };
}

function rounded(value) {
  return Math.round(value * 1000) / 1000;
}
