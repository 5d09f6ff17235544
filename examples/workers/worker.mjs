#!/usr/bin/env node
// A worker of Node.js (18 and later) alone: no package, no build; its types are in comments, for editors and tsc.
//
//   WINDLASS_URL=http://127.0.0.1:7979 node worker.mjs QUEUE [JOBS_AT_ONCE]
//
// Each slot claims one job by a long poll, runs the handler of its kind and says how it ended. One timer sends the
// heartbeats that keep all leases. While the server is away nothing ends: claims, heartbeats and settlements are tried
// again. SIGTERM lets running jobs finish and takes no others. WINDLASS_TOKEN is sent when it is set.
//
// Replace `handlers` by your own: a handler gets the job and answers with its result; what it throws is a failure that is
// tried again by the job's policy.
// @ts-check

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

/**
 * @typedef {object} Job
 * @property {string} id the same in every attempt: the key by which an effect is done once
 * @property {string} kind
 * @property {number} attempt from 1
 * @property {any} payload
 * @property {"json" | "text" | "base64"} payload_encoding
 * @property {string} lease
 * @property {number} lease_ms
 * @property {AbortSignal} signal aborted when the lease is lost, or somebody cancels: stop, nothing counts any more
 */

/** Not now: the job is called again after that long, and no try is spent. */
class Later extends Error {
  /** @param {string} delay @param {string} reason */
  constructor(delay, reason) {
    super(reason);
    this.delay = delay;
  }
}

/** No further try would help. */
class Fatal extends Error {}

/** @type {Record<string, (job: Job) => Promise<unknown>>} */
const handlers = {
  /** An example: waits as long as the payload says, and stops when it is not wanted any more. */
  async sleep(job) {
    await pause(job.payload.ms, undefined, { signal: job.signal });
    return { slept_ms: job.payload.ms };
  },
  async fail(job) {
    if (job.payload?.fatal) throw new Fatal("no try would help");
    throw new TypeError("this kind of job always fails");
  },
  async later() {
    throw new Later("1h", "not today");
  },
};

const url = (process.env.WINDLASS_URL ?? "http://127.0.0.1:7979").replace(/\/+$/, "");
const [queue, slotsSaid = "1"] = process.argv.slice(2);
const slots = Number(slotsSaid);
if (!queue || !Number.isInteger(slots) || slots < 1) {
  console.error("usage: worker.mjs QUEUE [JOBS_AT_ONCE]");
  process.exit(2);
}
const worker = `w-${randomBytes(8).toString("hex")}`;
let stopping = false;
/** @type {Map<string, { job: Job, lost: AbortController, beatAt: number }>} */
const held = new Map();

/** The server answered, and said no. */
class Refused extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(`${status}: ${problem?.detail ?? ""}`);
    this.status = status;
  }
}

/**
 * The answer; a `Refused` when the server says no, any other error when there is no server.
 * @param {string} path @param {unknown} body @param {AbortSignal} signal @param {string} [method]
 */
async function ask(path, body, signal, method = "POST") {
  /** @type {Record<string, string>} */
  const headers = process.env.WINDLASS_TOKEN ? { authorization: `Bearer ${process.env.WINDLASS_TOKEN}` } : {};
  const answer = await fetch(url + path, { method, headers, body: JSON.stringify(body), signal });
  const text = await answer.text();
  if ([429, 500, 502, 503, 504].includes(answer.status)) throw new Error(`the server answered ${answer.status}`);
  const told = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

/** A tenth of a second at first, five at most, and never all workers at the same moment. @param {number} tries */
const backOff = (tries) => pause(Math.min(100 * 2 ** tries, 5_000) * (0.5 + Math.random() / 2));
const within = (/** @type {number} */ ms) => AbortSignal.timeout(ms);

/** One slot: claims, runs, settles, until it is told to stop. */
async function work() {
  for (let tries = 0; !stopping; ) {
    // Five seconds are also how long an idle worker may take to stop.
    const request = { queues: [queue], max: 1, worker, wait: "5s" };
    let jobs;
    try {
      ({ jobs } = await ask("/v1/claim", request, within(20_000)));
      tries = 0;
    } catch (error) {
      if (error instanceof Refused) {
        console.error(`worker.mjs: ${error.message}`);
        process.exitCode = 1;
        stopping = true;
        return;
      }
      await backOff(tries++);
      continue;
    }
    for (const job of jobs) {
      // A claim is waited for to its end, because one that is broken off may have been answered.
      if (stopping) await settle(job, "release", { reason: "shutdown" });
      else await attempt(job);
    }
  }
}

/** @param {Job} job */
async function attempt(job) {
  const lost = new AbortController();
  job.signal = lost.signal;
  held.set(job.id, { job, lost, beatAt: Date.now() + job.lease_ms / 3 });
  const handler = handlers[job.kind];
  let end;
  try {
    end = handler
      ? { verb: "complete", body: { result: (await handler(job)) ?? null } }
      : { verb: "release", body: { reason: "no_handler" } };
  } catch (error) {
    if (error instanceof Later) {
      end = { verb: "snooze", body: { delay: error.delay, reason: error.message } };
    } else {
      const told = error instanceof Error ? error : new Error(String(error));
      const report = { class: told.name, message: told.message, detail: told.stack };
      end = { verb: "fail", body: { error: report, fatal: error instanceof Fatal } };
    }
  }
  await settle(job, end.verb, end.body);
  held.delete(job.id);
}

/**
 * Until the server has it: heartbeats go on meanwhile. The same settlement twice is one.
 * @param {Job} job @param {string} verb @param {object} body
 */
async function settle(job, verb, body) {
  for (let tries = 0; ; tries++) {
    try {
      await ask(`/v1/jobs/${job.id}/${verb}`, { lease: job.lease, ...body }, within(10_000));
      return;
    } catch (error) {
      if (error instanceof Refused) {
        // 409: the lease ran out, and somebody else has the job. Anything else is a fault of this program.
        console.error(`worker.mjs: ${job.id}: ${error.message}`);
        return;
      }
      await backOff(tries);
    }
  }
}

/** Keeps every lease, a third of its time after the last heartbeat, and tells handlers that nobody waits for. */
async function beat() {
  const all = [...held.values()].filter(({ beatAt }) => beatAt <= Date.now());
  for (const one of all) one.beatAt = Date.now() + one.job.lease_ms / 3;
  try {
    if (all.length > 0) {
      const leases = all.map(({ job }) => ({ id: job.id, lease: job.lease }));
      const { results } = await ask("/v1/heartbeat", { leases }, within(10_000));
      results.forEach((/** @type {any} */ told, /** @type {number} */ at) => {
        if (told.error || told.cancel_requested) all[at].lost.abort();
      });
    }
  } catch {
    // The server is away; leases outlive its restart.
  }
  setTimeout(beat, 100).unref();
}

/** People see it in the list of workers; nothing depends on it. @param {string} path @param {object} body */
const introduce = (path, body, method = "POST") => ask(path, body, within(2_000), method).catch(() => {});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => (stopping = true));
await introduce("/v1/workers", { worker, host: hostname(), version: "node", queues: [{ queue, slots }] });
beat();
await Promise.all(Array.from({ length: slots }, work));
await introduce(`/v1/workers/${worker}`, {}, "DELETE");
