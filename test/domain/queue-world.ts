import type { Demand } from "../../server/src/domain/demand.ts";
import type { LiveJob } from "../../server/src/domain/job-buckets.ts";
import { createJobQueue, type JobQueue } from "../../server/src/domain/job-queue.ts";
import { rankOf } from "../../server/src/domain/rank.ts";

const demands = new Map<string, Demand>();

/** What jobs of an organization ask for that ask for one slot. */
export function demandOf(organizationId: string, capability = ""): Demand {
  const name = `${organizationId} ${capability}`;
  const known = demands.get(name);
  if (known) return known;
  const capabilities = capability === "" ? [] : [capability];
  const resources = new Map([["slots", 1]]);
  const demand = { organizationId, requirements: [], capabilities, executor: "process", resources, preferences: [] };
  demands.set(name, demand);
  return demand;
}

/** A job that waits; its key is its turn. */
export function waiting(key: number, job: Partial<LiveJob> = {}): LiveJob {
  const organizationId = job.organizationId ?? "org_a";
  return {
    id: `job_${key}`,
    key: BigInt(key),
    organizationId,
    projectId: "",
    runId: "run",
    definition: "test",
    priority: 0,
    rank: rankOf(key, BigInt(key)),
    demand: demandOf(organizationId),
    group: "",
    groupLimit: 0,
    matrix: "",
    matrixLimit: 0,
    available_ms: 0,
    runnerId: null,
    ...job,
  };
}

export function queueOf(jobs: readonly LiveJob[], isShared = true): JobQueue {
  const queue = createJobQueue(() => isShared);
  for (const job of jobs) queue.set(job);
  return queue;
}

/** Lets at most so many jobs go, and answers their keys in their order. */
export function takeUpTo(queue: JobQueue, count: number, now_ms = 0): number[] {
  const taken: number[] = [];
  queue.take(now_ms, (job) => {
    if (taken.length === count) return undefined;
    taken.push(Number(job.key));
    return "rnr_1";
  });
  return taken;
}
