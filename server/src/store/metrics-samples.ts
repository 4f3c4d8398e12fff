import type { SqlOrTransaction } from "./database.ts";

export type MetricsSampleRow = { runnerId: string; time: Date; sample: Uint8Array };

/** Stores samples; one of the same runner and time is kept once. */
export async function insertMetricsSamples(sql: SqlOrTransaction, rows: readonly MetricsSampleRow[]): Promise<void> {
  await sql`
    insert into metrics_sample (runner_id, time, sample)
    select runner_id, time, decode(sample, 'base64') from unnest(
      ${rows.map((one) => one.runnerId)}::text[], ${rows.map((one) => one.time.toISOString())}::timestamptz[],
      ${rows.map((one) => Buffer.from(one.sample).toString("base64"))}::text[]) as i (runner_id, time, sample)
    on conflict do nothing`;
}

/** A runner's samples after a time, oldest first. */
export async function listMetricsSamples(
  sql: SqlOrTransaction,
  runnerId: string,
  after: Date,
): Promise<MetricsSampleRow[]> {
  return sql<MetricsSampleRow[]>`
    select runner_id as "runnerId", time, sample from metrics_sample
    where runner_id = ${runnerId} and time > ${after} order by time limit 10000`;
}

/** Deletes what is older than the hours that are kept, and what a wrong clock dated as far ahead, which would stay for ever. */
export async function sweepMetricsSamples(sql: SqlOrTransaction, keep_ms: number): Promise<void> {
  await sql`
    delete from metrics_sample
    where time not between now() - ${keep_ms}::float8 * interval '1 millisecond'
      and now() + ${keep_ms}::float8 * interval '1 millisecond'`;
}
