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

/**
 * The buckets of an organization, and `heads`: the same in the order of their first jobs, the foremost last. The order is kept as jobs
 * come and go, since whoever takes jobs needs it each time, and there may be a bucket for each of many matrices.
 */
export type Buckets = { buckets: Map<string, Bucket>; heads: Bucket[] };

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

/** Puts a job in its place among those of its bucket, whose head may change. */
export function enqueue({ buckets, heads }: Buckets, job: LiveJob): void {
  const key = bucketOf(job);
  const bucket = buckets.get(key) ?? { shape: shapeOf(job), sample: job, jobs: [] };
  buckets.set(key, bucket);
  const at = countBefore(bucket.jobs, job);
  if (at === 0 && bucket.jobs.length > 0) removeHead(heads, bucket);
  bucket.jobs.splice(at, 0, job);
  if (at === 0) insertHead(heads, bucket);
}

/** Takes out a job, which must be there in the order it was put in under. An empty bucket goes. */
export function dequeue({ buckets, heads }: Buckets, job: LiveJob): void {
  const key = bucketOf(job);
  const bucket = buckets.get(key)!;
  const at = countBefore(bucket.jobs, job);
  if (at === 0) removeHead(heads, bucket);
  bucket.jobs.splice(at, 1);
  if (bucket.jobs.length === 0) buckets.delete(key);
  else if (at === 0) insertHead(heads, bucket);
}

/** Puts a bucket where its first job belongs. */
export function insertHead(heads: Bucket[], bucket: Bucket): void {
  heads.splice(countBehind(heads, bucket.jobs[0]!), 0, bucket);
}

function removeHead(heads: Bucket[], bucket: Bucket): void {
  heads.splice(countBehind(heads, bucket.jobs[0]!), 1);
}

/** How many of the buckets have a first job that comes after one. */
function countBehind(heads: readonly Bucket[], job: LiveJob): number {
  let low = 0;
  let high = heads.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareJobs(heads[middle]!.jobs[0]!, job) > 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first jobs of all buckets together, in their order, at most so many. */
export function firstOf({ heads }: Buckets, limit: number): LiveJob[] {
  const left = heads.map(({ shape, sample, jobs }) => ({ shape, sample, jobs: jobs.slice(0, limit) }));
  const found: LiveJob[] = [];
  while (found.length < limit) {
    const bucket = left.pop();
    if (!bucket) break;
    found.push(bucket.jobs.shift()!);
    if (bucket.jobs.length > 0) insertHead(left, bucket);
  }
  return found;
}

/** Jobs that wait for some of the same runners, and that nothing else holds, as they stand now. */
export type Contest = {
  /** How many there are. */
  readonly size: number;
  /** How many of the job's organization come before it. */
  countBefore(job: LiveJob): number;
  /** Those that come before it, at most so many, in no order. */
  listBefore(job: LiveJob, limit: number): LiveJob[];
};

/** Of these buckets, until any of them changes. */
export function contestOf(buckets: readonly Bucket[]): Contest {
  const own = (job: LiveJob) => buckets.filter(({ sample }) => sample.organizationId === job.organizationId);
  return {
    size: buckets.reduce((sum, { jobs }) => sum + jobs.length, 0),
    countBefore: (job) => own(job).reduce((sum, { jobs }) => sum + countBefore(jobs, job), 0),
    listBefore(job, limit) {
      const found: LiveJob[] = [];
      for (const { jobs } of own(job)) {
        const count = Math.min(countBefore(jobs, job), limit - found.length);
        for (let index = 0; index < count; index++) found.push(jobs[index]!);
      }
      return found;
    },
  };
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
