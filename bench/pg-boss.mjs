// pg-boss on PostgreSQL, workers woken by NOTIFY. It drains in one of two ways: `--way fetch` is a loop of fetch(batch)
// and complete, `--way work` its own workers with batches.

import { PgBoss } from 'pg-boss';
import { main } from './load.mjs';

const NAME = 'bench';
// A worker that misses its bell asks again soon, and not after half a minute as by default.
const SOON = { pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5 };

let boss;

await main({
  name: 'pg-boss',

  async open({ url }) {
    boss = new PgBoss({ connectionString: url, max: 20, useListenNotify: true });
    boss.on('error', (error) => console.error(`pg-boss: ${error.message ?? error}`));
    await boss.start();
    await boss.createQueue(NAME, { notify: true });
  },

  add: (payloads) => boss.insert(NAME, payloads.map((data) => ({ data }))),

  addOne: (data) => boss.send(NAME, data),

  settle: () => boss.getDb().executeSql('VACUUM ANALYZE', []),

  async drain(jobs, { way, concurrency, fetch }) {
    return way === 'work' ? work(jobs, concurrency, fetch) : loops(jobs, concurrency, fetch);
  },

  async listen(handle, { concurrency: localConcurrency, fetch: batchSize }) {
    const options = { localConcurrency, batchSize, burstWhenBatchFull: batchSize > 1, ...SOON };
    await boss.work(NAME, options, async (taken) => taken.forEach((job) => handle(job.data)));
  },

  close: () => boss.stop({ graceful: false, close: true }),
});

async function loops(jobs, callers, batchSize) {
  let left = jobs;
  const caller = async () => {
    while (left > 0) {
      const taken = await boss.fetch(NAME, { batchSize });
      left -= taken.length;
      if (taken.length > 0) await boss.complete(NAME, taken.map((job) => job.id));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

async function work(jobs, localConcurrency, batchSize) {
  let left = jobs;
  let last;
  const handled = new Promise((resolve) => (last = resolve));
  const options = { localConcurrency, batchSize, burstWhenBatchFull: true, ...SOON };
  await boss.work(NAME, options, async (taken) => {
    left -= taken.length;
    if (left === 0) last();
  });
  await handled;
  // Waits for the completions that are under way.
  await boss.offWork(NAME, { wait: true });
}
