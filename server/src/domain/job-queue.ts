/*
 * The jobs that wait, in the order in which they are taken, and those that run, which the limits count.
 *
 * Within an organization there is one order: priority, then rank, then key. Organizations take turns: the one whose jobs
 * use least of the runners that serve all, for its weight, is next; so that no backlog of one holds up another.
 * Jobs that ask for the same, and are held by the same limits, share a bucket: where its first cannot go, none of it can.
 */
import type { Demand } from "./demand.ts";
import {
  contestOf,
  dequeue,
  enqueue,
  firstOf,
  insertHead,
  type Bucket,
  type Buckets,
  type Contest,
  type LiveJob,
} from "./job-buckets.ts";
import { createQueueLimits, type QueueLimits } from "./queue-limits.ts";

export type JobQueue = Pick<QueueLimits, "bound" | "pause" | "resume"> & {
  /** Takes on what a live job is now. */
  set(job: LiveJob): void;
  /** Forgets one that lives no more. */
  remove(id: string): void;
  get(id: string): LiveJob | undefined;
  /** How many wait in an organization. */
  depth(organizationId: string): number;
  running(organizationId: string): number;
  /** Whether any job runs. */
  readonly isRunning: boolean;
  /** What holds a waiting job back beside the runners, in one line; empty: nothing. */
  heldBy(job: LiveJob, now_ms: number): string;
  /** The waiting jobs that nothing but the runners holds, and whose demand `competes` accepts, one asked for each bucket. */
  contest(competes: (demand: Demand) => boolean): Contest;
  /** The running ones of an organization. */
  listRunning(organizationId: string): LiveJob[];
  /** The first of each organization that has jobs that wait for no time, at most so many of each. */
  listFirst(limit: number): LiveJob[];
  /** Hands jobs to `place` in their order until none can go; it answers the runner, or `undefined` where none takes the demand. */
  take(now_ms: number, place: (job: LiveJob) => string | undefined): void;
  /** When the next job that waits for a time becomes available, in ms since 1970. */
  readonly nextAvailable_ms: number;
};

type Organization = Buckets & {
  waiting: number;
  runningJobs: Set<string>;
  shared: number;
  served: number;
};
/** An organization while jobs are taken: its buckets by their first jobs, the foremost last. */
type Taking = { id: string; organization: Organization; heads: Bucket[] };

/** `isShared`: whether a runner serves all organizations. */
export function createJobQueue(isShared: (runnerId: string) => boolean): JobQueue {
  const jobs = new Map<string, LiveJob>();
  const organizations = new Map<string, Organization>();
  const limits = createQueueLimits();
  const delayed = new Map<string, LiveJob>();
  const sharedBy = new Map<string, boolean>();
  let turns = 0;

  const organizationOf = (id: string) => {
    const known = organizations.get(id);
    if (known) return known;
    const made = {
      buckets: new Map<string, Bucket>(),
      heads: [],
      waiting: 0,
      runningJobs: new Set<string>(),
      shared: 0,
      served: 0,
    };
    organizations.set(id, made);
    return made;
  };
  const enter = (job: LiveJob) => {
    const organization = organizationOf(job.organizationId);
    if (job.runnerId !== null) {
      organization.runningJobs.add(job.id);
      limits.enter(job);
      const shared = isShared(job.runnerId);
      sharedBy.set(job.id, shared);
      if (shared) organization.shared++;
      return;
    }
    organization.waiting++;
    if (job.available_ms > 0) delayed.set(job.id, job);
    else enqueue(organization, job);
  };
  const leave = (job: LiveJob) => {
    const organization = organizationOf(job.organizationId);
    if (job.runnerId !== null) {
      organization.runningJobs.delete(job.id);
      limits.leave(job);
      if (sharedBy.get(job.id)) organization.shared--;
      sharedBy.delete(job.id);
    } else {
      organization.waiting--;
      if (!delayed.delete(job.id)) dequeue(organization, job);
    }
  };
  const holdOf = (job: LiveJob) => limits.holdOf(job, organizations.get(job.organizationId)?.runningJobs.size ?? 0);
  const awaken = (now_ms: number) => {
    for (const job of delayed.values()) {
      if (job.available_ms > now_ms) continue;
      delayed.delete(job.id);
      enqueue(organizationOf(job.organizationId), job);
    }
  };
  /** The first job of an organization that may go; what cannot go now cannot go later in the same taking. */
  const headOf = ({ heads }: Taking, stuck: ReadonlySet<string>): LiveJob | undefined => {
    for (let bucket = heads.at(-1); bucket; bucket = heads.at(-1)) {
      if (!stuck.has(bucket.shape) && holdOf(bucket.jobs[0]!) === "") return bucket.jobs[0];
      heads.pop();
    }
    return undefined;
  };
  const next = (takings: readonly Taking[], stuck: ReadonlySet<string>): Taking | undefined => {
    let first: Taking | undefined;
    for (const taking of takings) {
      if (headOf(taking, stuck) && (!first || comesBefore(taking, first))) first = taking;
    }
    if (first) first.organization.served = ++turns;
    return first;
  };
  const comesBefore = (one: Taking, other: Taking) => {
    const shares = [one, other].map(({ id, organization }) => organization.shared / limits.weightOf(id));
    return shares[0]! < shares[1]! || (shares[0] === shares[1] && one.organization.served < other.organization.served);
  };

  const remove = (id: string) => {
    const job = jobs.get(id);
    if (!job) return;
    jobs.delete(id);
    leave(job);
    const { waiting, runningJobs } = organizationOf(job.organizationId);
    if (waiting === 0 && runningJobs.size === 0) organizations.delete(job.organizationId);
  };
  const set = (job: LiveJob) => {
    const before = jobs.get(job.id);
    if (before) leave(before);
    jobs.set(job.id, job);
    enter(job);
  };
  return {
    set,
    remove,
    get: (id) => jobs.get(id),
    bound: limits.bound,
    pause: limits.pause,
    resume: limits.resume,
    depth: (organizationId) => organizations.get(organizationId)?.waiting ?? 0,
    running: (organizationId) => organizations.get(organizationId)?.runningJobs.size ?? 0,
    get isRunning() {
      return [...organizations.values()].some((one) => one.runningJobs.size > 0);
    },
    heldBy(job, now_ms) {
      if (job.available_ms > now_ms) {
        return `it is tried again in ${Math.ceil((job.available_ms - now_ms) / 1000)} s`;
      }
      return holdOf(job);
    },
    contest: (competes) =>
      contestOf(
        [...organizations.values()].flatMap(({ heads }) =>
          heads.filter(({ sample, jobs: waiting }) => competes(sample.demand) && holdOf(waiting[0]!) === ""),
        ),
      ),
    listRunning: (organizationId) =>
      [...(organizations.get(organizationId)?.runningJobs ?? [])].map((id) => jobs.get(id)!),
    listFirst: (limit) => [...organizations.values()].flatMap((organization) => firstOf(organization, limit)),
    take(now_ms, place) {
      awaken(now_ms);
      const stuck = new Set<string>();
      const takings = [...organizations].map(([id, organization]) => ({
        id,
        organization,
        heads: [...organization.heads],
      }));
      for (let taking = next(takings, stuck); taking; taking = next(takings, stuck)) {
        const bucket = taking.heads.pop()!;
        const job = bucket.jobs[0]!;
        const runnerId = place(job);
        if (runnerId === undefined) {
          stuck.add(bucket.shape);
          continue;
        }
        set({ ...job, runnerId });
        if (bucket.jobs.length > 0) insertHead(taking.heads, bucket);
      }
    },
    get nextAvailable_ms() {
      let next_ms = Infinity;
      for (const one of delayed.values()) next_ms = Math.min(next_ms, one.available_ms);
      return next_ms;
    },
  };
}
