/* Waiting jobs of an organization, those that are alike together and each such bucket in the order of the queue. */
import type { Demand } from "./demand.ts";

/** A job that waits or runs. */
export type LiveJob = Readonly<{
  id: string;
  key: bigint;
  organizationId: string;
  /** Empty: of no project. */
  projectId: string;
  runId: string;
  /** Of its pipeline: jobs of one project and definition are of one kind. */
  definition: string;
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

/** Jobs that ask for the same and are held by the same limits: where the first cannot go, none of them can. */
export type Bucket = { shape: string; sample: LiveJob; jobs: LiveJob[] };

/** Whatever holds the buckets of an organization. */
type Buckets = { buckets: Map<string, Bucket> };

/** The order of the queue within an organization. */
export function compareJobs(a: LiveJob, b: LiveJob): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  if (a.rank !== b.rank) return a.rank < b.rank ? -1 : 1;
  return a.key < b.key ? -1 : Number(a.key > b.key);
}

const shapes = new WeakMap<Demand, string>();

/** What a job asks for, as text: equal for jobs that the same runners can take. */
export function shapeOf({ demand }: LiveJob): string {
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

export function enqueue({ buckets }: Buckets, job: LiveJob): void {
  const key = bucketOf(job);
  const bucket = buckets.get(key);
  if (bucket) bucket.jobs.splice(countBefore(bucket.jobs, job), 0, job);
  else buckets.set(key, { shape: shapeOf(job), sample: job, jobs: [job] });
}

export function dequeue({ buckets }: Buckets, job: LiveJob): void {
  const key = bucketOf(job);
  const bucket = buckets.get(key)!;
  bucket.jobs.splice(countBefore(bucket.jobs, job), 1);
  if (bucket.jobs.length === 0) buckets.delete(key);
}

/** How many of the ordered jobs come before one. */
export function countBefore(ordered: readonly LiveJob[], job: LiveJob): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareJobs(ordered[middle]!, job) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
