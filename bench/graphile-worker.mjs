// graphile-worker on PostgreSQL. It drains with a local queue and batched completions, its fastest way by far; for
// latency it takes single jobs, as the local queue is for throughput.

import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { main } from './load.mjs';

const TASK = 'noop';
const logger = new Logger(() => () => {});

let url;
let utils;
let runner;

const spec = (payload) => ({ identifier: TASK, payload });

await main({
  name: 'graphile-worker',

  async open(settings) {
    url = settings.url;
    utils = await makeWorkerUtils({ connectionString: url, logger });
    await utils.migrate();
  },

  add: (payloads) => utils.addJobs(payloads.map(spec)),

  addOne: (payload) => utils.addJob(TASK, payload),

  settle: () => utils.withPgClient((client) => client.query('VACUUM ANALYZE')),

  async work(done, { concurrency, fetch }) {
    const preset = {
      worker: {
        connectionString: url,
        concurrentJobs: concurrency,
        maxPoolSize: Math.min(concurrency, 20) + 2,
        localQueue: { size: fetch },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
        logger,
      },
    };
    runner = await run({ preset, taskList: { [TASK]: async () => done(1) }, noHandleSignals: true });
    // Sends the completions that still wait for a batch.
    return async () => {
      await runner.stop();
      runner = undefined;
    };
  },

  async listen(handle, { concurrency }) {
    const taskList = { [TASK]: async (payload) => handle(payload) };
    const maxPoolSize = concurrency + 2;
    runner = await run({ connectionString: url, concurrency, maxPoolSize, taskList, logger, noHandleSignals: true });
  },

  async close() {
    await runner?.stop();
    await utils.release();
  },
});
