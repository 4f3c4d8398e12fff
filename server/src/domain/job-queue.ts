/*
 * The jobs that wait, in the order in which they are taken, and those that run, which the limits count.
 *
 * Within an organization there is one order: priority, then rank, then key. Organizations take turns: the one whose jobs
 * use least of the runners that serve all, for its weight, is next; so that no backlog of one holds up another.
 * Jobs that ask for the same, and are held by the same limits, share a bucket: where its first cannot go, none of it can.
 */
import type { Demand } from "./demand.ts";

/** A job that waits or runs. */
export type LiveJob = Readonly<{
  id: string;
  key: bigint;
  organizationId: string;
  /** Empty: of no project. */
  projectId: string;
  runId: string;
  priority: number;
  rank: string;
  demand: Demand;
  /** What it may not run beside, beyond the limit; empty: nothing. Counted within its organization and project. */
  group: string;
  groupLimit: number;
  /** Its siblings of one matrix, likewise. */
  matrix: string;
  matrixLimit: number;
  /** Not before then, in ms since 1970. */
  available_ms: number;
  /** Where it runs; `null` where it waits. */
  runnerId: string | null;
}>;

/** What bounds the queue of an organization or a project; 0 running jobs means no limit. */
export type QueueBounds = Readonly<{ weight: number; maximumRunning: number }>;

export type JobQueue = {
  /** Takes on what a live job is now. */
  set(job: LiveJob): void;
  /** Forgets one that lives no more. */
  remove(id: string): void;
  get(id: string): LiveJob | undefined;
  /** Of an organization or a project. */
  bound(scopeId: string, bounds: QueueBounds): void;
  /** Holds back the queues of "cluster", of an organization, of a project; with the reason. */
  pause(scopeId: string, reason: string): void;
  resume(scopeId: string): void;
  /** How many wait in an organization. */
  depth(organizationId: string): number;
  running(organizationId: string): number;
  /** Whether any job runs. */
  readonly isRunning: boolean;
  /** What holds a waiting job back beside the runners, in one line; empty: nothing. */
  heldBy(job: LiveJob, now_ms: number): string;
  /** How many of the waiting jobs that `competes` accepts, one asked for each bucket, come before the job, and how many there are. */
  place(job: LiveJob, competes: (demand: Demand) => boolean): { before: number; all: number };
  /** Hands jobs to `place` in their order until none can go; it answers the runner, or `undefined` where none takes the demand. */
  take(now_ms: number, place: (job: LiveJob) => string | undefined): void;
  /** When the next job that waits for a time becomes available, in ms since 1970. */
  readonly nextAvailable_ms: number;
};

type Bucket = { shape: string; sample: LiveJob; jobs: LiveJob[] };
type Organization = { buckets: Map<string, Bucket>; waiting: number; running: number; shared: number; served: number };

/** The order of the queue within an organization. */
export function compareJobs(a: LiveJob, b: LiveJob): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  if (a.rank !== b.rank) return a.rank < b.rank ? -1 : 1;
  return a.key < b.key ? -1 : Number(a.key > b.key);
}

/** `isShared`: whether a runner serves all organizations. */
export function createJobQueue(isShared: (runnerId: string) => boolean): JobQueue {
  const jobs = new Map<string, LiveJob>();
  const organizations = new Map<string, Organization>();
  const bounds = new Map<string, QueueBounds>();
  const pauses = new Map<string, string>();
  const delayed = new Map<string, LiveJob>();
  /** Running jobs by project, group and matrix. */
  const counts = new Map<string, number>();
  const sharedBy = new Map<string, boolean>();
  let turns = 0;

  const organizationOf = (id: string) => {
    const known = organizations.get(id);
    if (known) return known;
    const made = { buckets: new Map<string, Bucket>(), waiting: 0, running: 0, shared: 0, served: 0 };
    organizations.set(id, made);
    return made;
  };
  const enter = (job: LiveJob) => {
    const organization = organizationOf(job.organizationId);
    if (job.runnerId !== null) {
      organization.running++;
      for (const counter of countersOf(job)) counts.set(counter, (counts.get(counter) ?? 0) + 1);
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
      organization.running--;
      for (const counter of countersOf(job)) {
        const left = counts.get(counter)! - 1;
        if (left === 0) counts.delete(counter);
        else counts.set(counter, left);
      }
      if (sharedBy.get(job.id)) organization.shared--;
      sharedBy.delete(job.id);
    } else {
      organization.waiting--;
      if (!delayed.delete(job.id)) dequeue(organization, job);
    }
    if (organization.waiting === 0 && organization.running === 0) organizations.delete(job.organizationId);
  };
  const isFull = (scopeId: string, count: number) => {
    const maximum = bounds.get(scopeId)?.maximumRunning ?? 0;
    return maximum > 0 && count >= maximum;
  };
  const holdOf = (job: LiveJob): string => {
    for (const scope of ["cluster", job.organizationId, job.projectId]) {
      const reason = scope === "" ? undefined : pauses.get(scope);
      if (reason !== undefined) return `the queue of ${scopeName(scope, job)} is paused: ${reason}`;
    }
    const organization = organizationOf(job.organizationId);
    if (isFull(job.organizationId, organization.running)) {
      return `the organization's limit of ${bounds.get(job.organizationId)!.maximumRunning} running jobs is reached`;
    }
    if (job.projectId !== "" && isFull(job.projectId, counts.get(projectCounter(job)) ?? 0)) {
      return `the project's limit of ${bounds.get(job.projectId)!.maximumRunning} running jobs is reached`;
    }
    if (job.group !== "" && (counts.get(groupCounter(job)) ?? 0) >= job.groupLimit) {
      return `the concurrency group "${job.group}" has its ${job.groupLimit} running`;
    }
    if (job.matrixLimit > 0 && (counts.get(matrixCounter(job)) ?? 0) >= job.matrixLimit) {
      return `its matrix has its ${job.matrixLimit} running`;
    }
    return "";
  };
  const awaken = (now_ms: number) => {
    for (const job of delayed.values()) {
      if (job.available_ms > now_ms) continue;
      delayed.delete(job.id);
      enqueue(organizationOf(job.organizationId), job);
    }
  };
  /** The first job of an organization that may go, and whose shape is not stuck. */
  const headOf = (organization: Organization, stuck: ReadonlySet<string>): LiveJob | undefined => {
    let best: LiveJob | undefined;
    for (const bucket of organization.buckets.values()) {
      if (stuck.has(bucket.shape)) continue;
      const head = bucket.jobs[0]!;
      if (best && compareJobs(best, head) < 0) continue;
      if (holdOf(head) === "") best = head;
    }
    return best;
  };
  const next = (stuck: ReadonlySet<string>): LiveJob | undefined => {
    const ready = [...organizations].flatMap(([id, organization]) => {
      const head = headOf(organization, stuck);
      return head ? [{ head, organization, share: organization.shared / (bounds.get(id)?.weight || 1) }] : [];
    });
    const [first] = ready.toSorted((a, b) => a.share - b.share || a.organization.served - b.organization.served);
    if (first) first.organization.served = ++turns;
    return first?.head;
  };

  const remove = (id: string) => {
    const job = jobs.get(id);
    if (!job) return;
    jobs.delete(id);
    leave(job);
  };
  const set = (job: LiveJob) => {
    remove(job.id);
    jobs.set(job.id, job);
    enter(job);
  };
  return {
    set,
    remove,
    get: (id) => jobs.get(id),
    bound: (scopeId, one) => void bounds.set(scopeId, one),
    pause: (scopeId, reason) => void pauses.set(scopeId, reason),
    resume: (scopeId) => void pauses.delete(scopeId),
    depth: (organizationId) => organizations.get(organizationId)?.waiting ?? 0,
    running: (organizationId) => organizations.get(organizationId)?.running ?? 0,
    get isRunning() {
      return [...organizations.values()].some((one) => one.running > 0);
    },
    heldBy(job, now_ms) {
      if (job.available_ms > now_ms) {
        return `it is tried again in ${Math.ceil((job.available_ms - now_ms) / 1000)} s`;
      }
      return holdOf(job);
    },
    place(job, competes) {
      let before = 0;
      let all = 0;
      for (const { buckets } of organizations.values()) {
        for (const bucket of buckets.values()) {
          if (!competes(bucket.sample.demand)) continue;
          all += bucket.jobs.length;
          if (bucket.sample.organizationId === job.organizationId) before += countBefore(bucket.jobs, job);
        }
      }
      return { before, all };
    },
    take(now_ms, place) {
      awaken(now_ms);
      const stuck = new Set<string>();
      for (let job = next(stuck); job; job = next(stuck)) {
        const runnerId = place(job);
        if (runnerId === undefined) stuck.add(shapeOf(job));
        else set({ ...job, runnerId });
      }
    },
    get nextAvailable_ms() {
      return Math.min(Infinity, ...[...delayed.values()].map((one) => one.available_ms));
    },
  };
}

function scopeName(scope: string, job: LiveJob): string {
  if (scope === "cluster") return "the cluster";
  return scope === job.organizationId ? "the organization" : "the project";
}

const shapes = new WeakMap<Demand, string>();

/** What a job asks for, as text: equal for jobs that the same runners can take. */
function shapeOf({ demand }: LiveJob): string {
  const known = shapes.get(demand);
  if (known !== undefined) return known;
  const shape = JSON.stringify({ ...demand, resources: [...demand.resources] });
  shapes.set(demand, shape);
  return shape;
}

function bucketOf(job: LiveJob): string {
  return JSON.stringify([
    shapeOf(job),
    job.projectId,
    job.group,
    job.groupLimit,
    job.matrixLimit > 0 ? job.matrix : "",
  ]);
}

function enqueue(organization: Organization, job: LiveJob): void {
  const key = bucketOf(job);
  const bucket = organization.buckets.get(key);
  if (bucket) bucket.jobs.splice(countBefore(bucket.jobs, job), 0, job);
  else organization.buckets.set(key, { shape: shapeOf(job), sample: job, jobs: [job] });
}

function dequeue(organization: Organization, job: LiveJob): void {
  const key = bucketOf(job);
  const bucket = organization.buckets.get(key)!;
  bucket.jobs.splice(countBefore(bucket.jobs, job), 1);
  if (bucket.jobs.length === 0) organization.buckets.delete(key);
}

/** How many of the ordered jobs come before one. */
function countBefore(ordered: readonly LiveJob[], job: LiveJob): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareJobs(ordered[middle]!, job) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function countersOf(job: LiveJob): string[] {
  return [
    ...(job.projectId === "" ? [] : [projectCounter(job)]),
    ...(job.group === "" ? [] : [groupCounter(job)]),
    ...(job.matrixLimit > 0 ? [matrixCounter(job)] : []),
  ];
}

function projectCounter({ projectId }: LiveJob): string {
  return `project ${projectId}`;
}

function groupCounter({ organizationId, projectId, group }: LiveJob): string {
  return `group ${organizationId} ${projectId} ${group}`;
}

function matrixCounter({ matrix }: LiveJob): string {
  return `matrix ${matrix}`;
}
