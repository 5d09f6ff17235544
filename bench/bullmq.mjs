// BullMQ on Redis. Completed jobs are removed at once, which is its best case: by default it keeps them all.

import { Queue, Worker } from 'bullmq';
import { main } from './load.mjs';

const NAME = 'bench';
const ADDED = { removeOnComplete: true };

let connection;
let queue;
const workers = [];

await main({
  name: 'bullmq',

  async open({ url }) {
    const { hostname: host, port } = new URL(url);
    connection = { host, port: Number(port), maxRetriesPerRequest: null };
    queue = new Queue(NAME, { connection });
    await queue.waitUntilReady();
  },

  add: (payloads) => queue.addBulk(payloads.map((data) => ({ name: 'noop', data, opts: ADDED }))),

  addOne: (data) => queue.add('noop', data, ADDED),

  async work(done, { concurrency }) {
    const worker = new Worker(NAME, async () => {}, { connection, concurrency });
    workers.push(worker);
    // Emitted when Redis has answered the completion: none is under way when the last one has come.
    worker.on('completed', () => done(1));
    // What a listener throws is caught; this ends the program.
    worker.on('failed', (_, error) => setImmediate(() => Promise.reject(error)));
    return async () => {};
  },

  async listen(handle, { concurrency }) {
    const worker = new Worker(NAME, async (job) => handle(job.data), { connection, concurrency });
    workers.push(worker);
    await worker.waitUntilReady();
  },

  async close() {
    await Promise.all(workers.map((worker) => worker.close()));
    await queue.close();
  },
});
