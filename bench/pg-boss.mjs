// pg-boss on PostgreSQL, workers woken by NOTIFY. It drains in one of two ways: `--way fetch` is a loop of fetch(batch)
// and complete, `--way work` its own workers with batches.

import { setTimeout as pause } from 'node:timers/promises';
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

  work: (done, settings) => (settings.way === 'work' ? workers(done, settings) : loops(done, settings)),

  async listen(handle, { concurrency: localConcurrency, fetch: batchSize }) {
    const options = { localConcurrency, batchSize, burstWhenBatchFull: batchSize > 1, ...SOON };
    await boss.work(NAME, options, async (taken) => taken.forEach((job) => handle(job.data)));
  },

  close: () => boss.stop({ graceful: false, close: true }),
});

async function loops(done, { concurrency, fetch: batchSize }) {
  let over = false;
  const caller = async () => {
    while (!over) {
      const taken = await boss.fetch(NAME, { batchSize });
      if (taken.length > 0) {
        await boss.complete(NAME, taken.map((job) => job.id));
        done(taken.length);
      } else {
        await pause(1);
      }
    }
  };
  const callers = Promise.all(Array.from({ length: concurrency }, caller));
  return async () => {
    over = true;
    await callers;
  };
}

async function workers(done, { concurrency: localConcurrency, fetch: batchSize }) {
  const options = { localConcurrency, batchSize, burstWhenBatchFull: true, ...SOON };
  await boss.work(NAME, options, async (taken) => done(taken.length));
  // Waits for the completions that are under way.
  return () => boss.offWork(NAME, { wait: true });
}
