/** graphile-worker, a well-known job queue on PostgreSQL, as a baseline: jobs that do nothing, from being added to being completed. */
import { Logger, run, makeWorkerUtils, type Runner, type WorkerUtils } from "graphile-worker";
import type { BenchPostgres } from "./database.ts";

/** Completed jobs a second. */
export type GraphileRates = { single: number; batched: number };

const singleJobs = 6_000;
const singleCallers = 16;
const batchedJobs = 40_000;
const addBatch = 500;
const concurrency = 24;
const logger = new Logger(() => () => undefined);

const measured = new WeakMap<BenchPostgres, Promise<GraphileRates>>();

/** Both ways in turn on a database of its own, each after a short one to warm up; once in a run. */
export function measureGraphile(server: BenchPostgres): Promise<GraphileRates> {
  const known = measured.get(server) ?? measure(server);
  measured.set(server, known);
  return known;
}

async function measure(server: BenchPostgres): Promise<GraphileRates> {
  const { url } = await server.createDatabase("bench_graphile");
  const utils = await makeWorkerUtils({ connectionString: url, logger });
  await utils.migrate();
  try {
    await rateOf(url, utils, addSingly, singleJobs / 4, {});
    const single = await rateOf(url, utils, addSingly, singleJobs, {});
    await rateOf(url, utils, addBatched, batchedJobs / 4, batching);
    const batched = await rateOf(url, utils, addBatched, batchedJobs, batching);
    return { single, batched };
  } finally {
    await utils.release();
  }
}

/** What its page on performance recommends for very many very short jobs. */
const batching = {
  localQueue: { size: addBatch, refetchDelay: { durationMs: 10 } },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

type Add = (utils: WorkerUtils, jobs: number) => Promise<void>;

/** Adds while the worker runs, as in use; ends with the last completion's commit. */
async function rateOf(
  url: string,
  utils: WorkerUtils,
  add: Add,
  jobs: number,
  worker: Partial<GraphileConfig.WorkerOptions>,
): Promise<number> {
  let completed = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const start = performance.now();
  const runner = await run({
    connectionString: url,
    maxPoolSize: 10,
    logger,
    noHandleSignals: true,
    concurrency,
    taskList: { noop: () => undefined },
    preset: { worker: { connectionString: url, concurrentJobs: concurrency, maxPoolSize: 10, logger, ...worker } },
  });
  runner.events.on("job:complete", () => ++completed === jobs && resolve());
  await add(utils, jobs);
  await done;
  await settle(runner);
  return (jobs / (performance.now() - start)) * 1000;
}

/** Stopping flushes what is still to be completed. */
async function settle(runner: Runner): Promise<void> {
  await runner.stop();
}

async function addSingly(utils: WorkerUtils, jobs: number): Promise<void> {
  let left = jobs;
  const call = async () => {
    while (left-- > 0) await utils.addJob("noop", {});
  };
  await Promise.all(Array.from({ length: singleCallers }, call));
}

async function addBatched(utils: WorkerUtils, jobs: number): Promise<void> {
  const batch = Array.from({ length: addBatch }, () => ({ identifier: "noop", payload: {} }));
  for (let added = 0; added < jobs; added += addBatch) await utils.addJobs(batch);
}
