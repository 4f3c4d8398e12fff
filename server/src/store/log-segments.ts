import type postgres from "postgres";
import type { SqlOrTransaction } from "./database.ts";
import type { LogKey, LogSegment, SegmentIndex } from "../logs/segment-index.ts";

type LogSegmentRow = {
  workload_id: string;
  fence: string;
  first_line: string;
  next_line: string;
  blob_key: string;
  size_bytes: string;
  index_offset: string;
  create_time: Date;
};

/** The segment index in the tables `log_segments` and `ended_logs`. */
export function createSegmentIndex(sql: postgres.Sql): SegmentIndex {
  return {
    async insert(segment) {
      await sql`
        insert into log_segments
          (workload_id, fence, first_line, next_line, blob_key, size_bytes, index_offset, create_time)
        values (${segment.workloadId}, ${String(segment.fence)}, ${segment.firstLine}, ${segment.nextLine},
          ${segment.blobKey}, ${segment.sizeBytes}, ${segment.indexOffset}, ${segment.createTime})
        on conflict (workload_id, fence, first_line) do update set
          next_line = excluded.next_line, blob_key = excluded.blob_key, size_bytes = excluded.size_bytes,
          index_offset = excluded.index_offset, create_time = excluded.create_time
        where log_segments.next_line < excluded.next_line`;
    },
    async list(key) {
      // Ordered by the table's column: the bare name would mean the text beside it.
      const rows = await sql<LogSegmentRow[]>`
        select workload_id, fence::text, first_line::text, next_line::text, blob_key, size_bytes::text,
          index_offset::text, create_time
        from log_segments where workload_id = ${key.workloadId} and fence = ${String(key.fence)}
        order by log_segments.first_line`;
      return rows.map(fromRow);
    },
    async markEnded(key, nextLine, now) {
      await sql`
        insert into ended_logs (workload_id, fence, next_line, end_time)
        values (${key.workloadId}, ${String(key.fence)}, ${nextLine}, ${now})
        on conflict (workload_id, fence) do nothing`;
    },
    async endedAt(key: LogKey) {
      const rows = await sql<{ next_line: string }[]>`
        select next_line::text from ended_logs
        where workload_id = ${key.workloadId} and fence = ${String(key.fence)}`;
      return rows[0] === undefined ? undefined : Number(rows[0].next_line);
    },
    async delete(workloadId) {
      await sql`
        with ended as (delete from ended_logs where workload_id = ${workloadId})
        delete from log_segments where workload_id = ${workloadId}`;
    },
  };
}

function fromRow(row: LogSegmentRow): LogSegment {
  return {
    workloadId: row.workload_id,
    fence: BigInt(row.fence),
    firstLine: Number(row.first_line),
    nextLine: Number(row.next_line),
    blobKey: row.blob_key,
    sizeBytes: Number(row.size_bytes),
    indexOffset: Number(row.index_offset),
    createTime: row.create_time,
  };
}

/** At most `limit` workloads that have no record, but lines that were sealed so long ago: by a replica that did so after the sweep. */
export async function listOrphanLogs(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select distinct workload_id as id from (
      select workload_id, create_time as time from log_segments union all select workload_id, end_time from ended_logs) l
    where time < now() - ${keep_ms}::float8 * interval '1 millisecond'
      and not exists (select from workload w where w.id = l.workload_id)
    limit ${limit}`;
  return rows.map((row) => row.id);
}
