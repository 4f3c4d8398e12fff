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

/**
 * Deletes at most `limit` samples that are older than what is kept, or that a wrong clock dated as far ahead, which would stay for ever;
 * answers how many.
 */
export async function sweepMetricsSamples(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from metrics_sample where (runner_id, time) in (
      select runner_id, time from metrics_sample
      where time < now() - ${keep_ms}::float8 * interval '1 millisecond'
        or time > now() + ${keep_ms}::float8 * interval '1 millisecond' limit ${limit})`;
  return count;
}
