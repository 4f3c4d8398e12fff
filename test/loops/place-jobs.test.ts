import pino from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { createJobPlacer } from "../../server/src/loops/place-jobs.ts";
import { openQueueState } from "../../server/src/loops/queue-state.ts";
import { claimJobs } from "../../server/src/store/job-claims.ts";
import { createId } from "../../wire/ids.ts";
import { createSecureRandom } from "../../server/src/secure-random.ts";
import { createRunWorld } from "../runs/run-world.ts";
import { gateSql } from "../support/gated-sql.ts";
import { openPlacer } from "./world.ts";

const twoJobs = "jobs:\n  first: { run: 'true' }\n  second: { run: 'true' }\n";

test.each(["not sent", "not answered"] as const)(
  "a claim that was %s is settled before another is made: one slot takes one job",
  async (loss) => {
    const { world, placer, wake, lose, liveCount } = await openLossyQueue();
    const run = await world.start(twoJobs);
    lose(loss);

    await wake();
    const states = async () => Object.values(await world.states(run)).toSorted();
    await expect
      .poll(async () => (await wake(), [placer.leads, ...(await states())]))
      .toEqual([true, "queued", "running"]);

    expect(liveCount()).toBe(1);
    expect((await world.sql`select from workload_life where phase = 'placed'`).length).toBe(1);
  },
);

test("a claim answers the specs of runners connected here, until these are many bytes", async () => {
  await using world = await createRunWorld();
  const run = await world.start("jobs:\n  small: { run: 'a' }\n  elsewhere: { run: 'b' }\n  large: { run: 'c' }\n");
  await world.sql`update job set spec = ${Buffer.alloc(5_000_000)} where name = 'large'`;
  const jobs = await world.jobs(run);
  const picks = ["small", "elsewhere", "large"].map((name) => ({
    jobId: jobs[name]!.id,
    workloadId: createId("workload"),
    runnerId: "rnr_1",
    isHere: name !== "elsewhere",
  }));

  const claimed = await claimJobs(world.sql, world.writer, world.guard, picks);

  const answered = claimed.filter((one) => one.spec !== null);
  expect(claimed).toHaveLength(3);
  expect(answered.map((one) => one.jobId)).toEqual([jobs["small"]!.id]);
});

test("a replica that does not lead sets no alarm for a retry whose back-off is over", async () => {
  const { world, placer, wake } = await openLossyQueue();
  const run = await world.start("jobs:\n  again: { run: 'true' }\n");
  await world.sql`update job set available_time = now() - interval '1 second', change_xid = pg_current_xact_id()`;
  await placer.stop();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());

  await wake();
  await new Promise(setImmediate);

  expect(vi.getTimerCount()).toBe(0);
  expect(await world.states(run)).toEqual({ again: "queued" });
});

test("a new leader counts what the former one claimed for the limits before it claims anything", async () => {
  const { world, placer, jobPlacer, wake } = await openLossyQueue();
  await placer.stop();
  const job = "{ run: x, concurrency: one }";
  const run = await world.start(`jobs:\n  first: ${job}\n  second: ${job}\n`);
  await wake();
  await world.sql`update job set state = 'running', runner_id = 'rnr_b', change_xid = pg_current_xact_id() where name = 'second'`;

  await placer.renewLease();
  jobPlacer.wake();
  await jobPlacer.stop();

  expect(placer.leads).toBe(true);
  expect(await world.states(run)).toEqual({ first: "queued", second: "running" });
});

/** A queue whose one runner has one slot, and whose next write may be lost. */
async function openLossyQueue() {
  const world = await createRunWorld();
  onTestFinished(() => world[Symbol.asyncDispose]());
  const { sql, organization } = world;
  let fate: "done" | "not sent" | "not answered" = "done";
  const lossy = gateSql(
    sql,
    async (run, reads) => {
      const mine = reads ? "done" : fate;
      if (!reads) fate = "done";
      if (mine === "not sent") throw new Error("the write was not sent");
      const result = await run();
      if (mine === "not answered") throw new Error("the answer was lost");
      return result;
    },
    sql,
  );
  const report = { labels: {}, found: [], executors: ["process"], capacity: { slots: 1 } };
  await sql`insert into runner (id, organization_id, name, token_public_key, status, session_replica_id, reported)
    values ('rnr_a', ${organization.id}, 'build-1', '', 'enrolled', 'rep_a', ${sql.json(report)})`;
  await sql`update leader set expire_time = now()`;
  const { fleet, writer, placer } = await openPlacer(sql);
  onTestFinished(() => placer.stop());
  await placer.renewLease();
  const state = await openQueueState(sql, fleet, pino({ level: "silent" }));
  const jobPlacer = createJobPlacer({
    ...{ sql: lossy, writer, fleet, state },
    log: pino({ level: "silent" }),
    random: createSecureRandom(),
    guard: () => placer.guard,
    onRefused: () => fleet.refresh(),
    settle: (ids) => placer.settle(ids),
    isHere: () => false,
    deliver: () => undefined,
    onTaken: () => undefined,
  });
  onTestFinished(() => jobPlacer.stop());
  const wake = async () => {
    await state.refresh();
    jobPlacer.wake();
  };
  return {
    world,
    placer,
    jobPlacer,
    wake,
    lose: (next: typeof fate) => (fate = next),
    liveCount: () => fleet.liveCount("rnr_a"),
  };
}
