import fc from "fast-check";
import { expect, test } from "vitest";
import { compareJobs, type LiveJob } from "../../server/src/domain/job-buckets.ts";
import { rankBetween, rankOf } from "../../server/src/domain/rank.ts";
import { demandOf, queueOf, takeUpTo, waiting } from "./queue-world.ts";

const everybody = () => true;

test("jobs go by priority, then by rank, then by key", () => {
  const first = waiting(1);
  const moved = waiting(5, { rank: rankBetween(undefined, first.rank) });
  const twin = waiting(6, { rank: first.rank });
  const queue = queueOf([waiting(3), twin, first, waiting(4, { priority: 10 }), moved, waiting(2)]);

  expect(takeUpTo(queue, 10)).toEqual([4, 5, 1, 6, 2, 3]);
});

test("jobs that ask for the same leave together where none can go, and those that ask for something else go on", () => {
  const gpu = demandOf("org_a", "gpu");
  const queue = queueOf([waiting(1, { demand: gpu }), waiting(2, { demand: gpu }), waiting(3), waiting(4)]);
  const asked: number[] = [];

  queue.take(0, (job) => {
    asked.push(Number(job.key));
    return job.demand === gpu ? undefined : "rnr_1";
  });

  expect(asked).toEqual([1, 3, 4]);
  expect(queue.depth("org_a")).toBe(2);
});

test("organizations take turns by what they use of the runners that serve all, for their weight", () => {
  const jobs = (organizationId: string, from: number) =>
    Array.from({ length: 12 }, (_, index) => waiting(from + index, { organizationId }));
  const queue = queueOf([...jobs("org_a", 100), ...jobs("org_b", 200)]);
  queue.bound("org_a", { weight: 1, maximumRunning: 0 });
  queue.bound("org_b", { weight: 3, maximumRunning: 0 });

  const taken = takeUpTo(queue, 8);

  expect(taken.filter((key) => key >= 200)).toHaveLength(6);
});

test("what runs on an organization's own runners does not count against it", () => {
  const queue = queueOf(
    [waiting(1, { runnerId: "rnr_own" }), waiting(2), waiting(3, { organizationId: "org_b" })],
    false,
  );

  expect(takeUpTo(queue, 1)).toEqual([2]);
});

test("bad-24: a limit that is lowered with jobs waiting lets none go until enough have ended, and raised lets them go", () => {
  const queue = queueOf([waiting(1), waiting(2), waiting(3), waiting(4), waiting(5)]);
  queue.bound("org_a", { weight: 1, maximumRunning: 3 });
  expect(takeUpTo(queue, 10)).toEqual([1, 2, 3]);

  queue.bound("org_a", { weight: 1, maximumRunning: 2 });
  queue.remove("job_1");
  expect(takeUpTo(queue, 10)).toEqual([]);
  expect(queue.heldBy(queue.get("job_4")!, 0)).toBe("the organization's limit of 2 running jobs is reached");
  queue.remove("job_2");
  expect(takeUpTo(queue, 10)).toEqual([4]);
  queue.bound("org_a", { weight: 1, maximumRunning: 0 });

  expect(takeUpTo(queue, 10)).toEqual([5]);
});

test("bad-24: a project's limit holds its own jobs only", () => {
  const queue = queueOf([1, 2, 3].map((key) => waiting(key, { projectId: "prj_a" })));
  queue.set(waiting(4, { projectId: "prj_b" }));
  queue.bound("prj_a", { weight: 1, maximumRunning: 1 });

  expect(takeUpTo(queue, 10)).toEqual([1, 4]);
  expect(queue.heldBy(queue.get("job_2")!, 0)).toContain("the project's limit of 1");
});

test.each(["cluster", "org_a", "prj_a"])(
  "the paused queue of %s holds its jobs with the reason, until it is resumed",
  (scope) => {
    const queue = queueOf([waiting(1, { projectId: "prj_a" })]);
    queue.pause(scope, "the disk is changed");

    expect(takeUpTo(queue, 1)).toEqual([]);
    expect(queue.heldBy(queue.get("job_1")!, 0)).toContain("the disk is changed");
    queue.resume(scope);

    expect(takeUpTo(queue, 1)).toEqual([1]);
  },
);

test("a concurrency group lets so many run within its organization and project, and no more", () => {
  const group = { group: "deploy", groupLimit: 2, projectId: "prj_a" };
  const others = [waiting(4, { ...group, projectId: "prj_b" }), waiting(5, { ...group, organizationId: "org_b" })];
  const queue = queueOf([waiting(1, group), waiting(2, group), waiting(3, group), ...others]);

  expect(takeUpTo(queue, 10).toSorted((a, b) => a - b)).toEqual([1, 2, 4, 5]);
  expect(queue.heldBy(queue.get("job_3")!, 0)).toContain('"deploy"');
  queue.remove("job_1");

  expect(takeUpTo(queue, 10)).toEqual([3]);
});

test("a matrix runs so many of its cells at once, whatever those of another run do", () => {
  const cell = (key: number, matrix: string) => waiting(key, { matrix, matrixLimit: 1 });
  const queue = queueOf([cell(1, "run_1 test"), cell(2, "run_1 test"), cell(3, "run_2 test")]);

  expect(takeUpTo(queue, 10)).toEqual([1, 3]);
});

test("a job that waits out its back-off goes when it is over, and wakes the queue then", () => {
  const queue = queueOf([waiting(1, { available_ms: 2000 }), waiting(2)]);
  expect(queue.heldBy(queue.get("job_1")!, 500)).toBe("it is tried again in 2 s");
  expect(queue.nextAvailable_ms).toBe(2000);

  expect(takeUpTo(queue, 10, 1999)).toEqual([2]);
  expect(takeUpTo(queue, 10, 2000)).toEqual([1]);
  expect(queue.nextAvailable_ms).toBe(Infinity);
});

test("a hundred thousand jobs that wait out their back-off are looked through, not spread over the stack", () => {
  const queue = queueOf(Array.from({ length: 100_000 }, (_, key) => waiting(key, { available_ms: 1000 + key })));

  expect(queue.nextAvailable_ms).toBe(1000);
});

test("bad-25: positions count those that compete, and neither what can never run nor what is held", () => {
  const never = waiting(1, { demand: demandOf("org_a", "gpu") });
  const held = waiting(2, { projectId: "prj_paused" });
  const queue = queueOf([never, held, waiting(3), waiting(4), waiting(5, { organizationId: "org_b" })]);
  queue.pause("prj_paused", "freeze");
  const competes = (demand: typeof never.demand) => demand !== never.demand;

  const contest = queue.contest(competes);
  const job = queue.get("job_4")!;

  expect([contest.countBefore(job), contest.size]).toEqual([1, 3]);
  expect(contest.listBefore(job, 10).map((one) => one.id)).toEqual(["job_3"]);
});

test("the first of each organization are those that go first, whatever they ask for", () => {
  const queue = queueOf([waiting(1), waiting(2, { demand: demandOf("org_a", "gpu") }), waiting(3)]);
  queue.set(waiting(9, { organizationId: "org_b" }));

  expect(queue.listFirst(2).map((job) => job.id)).toEqual(["job_1", "job_2", "job_9"]);
});

test("whatever comes, moves and goes, jobs of all kinds are listed and taken in one order", () => {
  const change = fc.record({
    key: fc.integer({ min: 1, max: 40 }),
    turn: fc.integer({ min: 1, max: 60 }),
    capability: fc.constantFrom("", "gpu", "docker"),
    priority: fc.integer({ min: 0, max: 1 }),
    goes: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 120 }), (changes) => {
      const queue = queueOf([]);
      const jobs = new Map<string, LiveJob>();
      for (const { key, turn, capability, priority, goes } of changes) {
        const rank = rankOf(turn, BigInt(key));
        const job = waiting(key, { rank, priority, demand: demandOf("org_a", capability) });
        jobs.delete(job.id);
        if (goes) queue.remove(job.id);
        else queue.set(jobs.set(job.id, job).get(job.id)!);
      }
      const order = [...jobs.values()].toSorted(compareJobs).map((job) => Number(job.key));

      expect(queue.listFirst(10).map((job) => Number(job.key))).toEqual(order.slice(0, 10));
      expect(takeUpTo(queue, 50)).toEqual(order);
    }),
  );
});

test("a job that is forgotten leaves nothing behind that counts", () => {
  const queue = queueOf([waiting(1), waiting(2, { runnerId: "rnr_1", group: "deploy", groupLimit: 1 })]);
  queue.remove("job_1");
  queue.remove("job_2");
  queue.remove("job_2");

  expect([queue.depth("org_a"), queue.running("org_a"), queue.isRunning]).toEqual([0, 0, false]);
  const contest = queue.contest(everybody);
  expect([contest.countBefore(waiting(3)), contest.size]).toEqual([0, 0]);
});

test("taking from a thousand kinds of waiting jobs is a matter of milliseconds", () => {
  const queue = queueOf(
    Array.from({ length: 20_000 }, (_, key) => waiting(key, { matrix: `run_${key % 1000}`, matrixLimit: 1 })),
  );
  const start = performance.now();

  expect(takeUpTo(queue, 500)).toHaveLength(500);

  expect(performance.now() - start).toBeLessThan(500);
});
