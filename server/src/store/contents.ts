import type { SqlOrTransaction } from "./database.ts";

/** Bytes that are kept once. */
export type Content = { sha256: string; sizeBytes: bigint; blobKey: string };

const columns = (sql: SqlOrTransaction) => sql`sha256, size_bytes as "sizeBytes", blob_key as "blobKey"`;

/** By its SHA-256 in hexadecimal; `undefined` where it is not stored. */
export async function getContent(sql: SqlOrTransaction, sha256: string): Promise<Content | undefined> {
  const [row] = await sql<Content[]>`select ${columns(sql)} from content where sha256 = ${sha256}`;
  return row;
}

/** The content, held so that no sweep takes it before the transaction has referred to it. */
export async function holdContent(sql: SqlOrTransaction, sha256: string): Promise<Content | undefined> {
  const [row] = await sql<Content[]>`
    update content set use_time = now() where sha256 = ${sha256} returning ${columns(sql)}`;
  return row;
}

/** Keeps a content, unless there is one of that digest; answers the one that is kept. */
export async function keepContent(
  sql: SqlOrTransaction,
  { sha256, sizeBytes, blobKey }: Omit<Content, "sizeBytes"> & { sizeBytes: number },
): Promise<Content> {
  const [row] = await sql<Content[]>`
    insert into content (sha256, size_bytes, blob_key) values (${sha256}, ${sizeBytes}, ${blobKey})
    on conflict (sha256) do update set use_time = now() returning ${columns(sql)}`;
  return row!;
}

/** Takes contents away that nothing has referred to for so long, and dooms their blobs. */
export async function sweepContents(sql: SqlOrTransaction, unused_ms: number, limit: number): Promise<number> {
  const rows = await sql`
    with idle as (
      select sha256 from content c
      where use_time < now() - ${unused_ms}::float8 * interval '1 millisecond'
        and not exists (select from artifact a where a.sha256 = c.sha256)
        and not exists (select from bundle b where b.sha256 = c.sha256)
      limit ${limit} for update skip locked
    ), gone as (delete from content using idle where content.sha256 = idle.sha256 returning blob_key)
    insert into doomed_blob (blob_key) select blob_key from gone on conflict do nothing returning blob_key`;
  return rows.length;
}

/** Has blobs deleted, after so long. */
export async function doomBlobs(sql: SqlOrTransaction, keys: readonly string[], after_ms = 0): Promise<void> {
  await sql`
    insert into doomed_blob (blob_key, doom_time)
    select key, now() + ${after_ms}::float8 * interval '1 millisecond' from unnest(${[...keys]}::text[]) as key
    on conflict (blob_key) do nothing`;
}

/** A blob that was doomed lest it be forgotten is needed. */
export async function spareBlob(sql: SqlOrTransaction, key: string): Promise<void> {
  await sql`delete from doomed_blob where blob_key = ${key}`;
}

/** Keys of blobs that nothing may read any more, those doomed first in front. */
export async function listDoomedBlobs(sql: SqlOrTransaction, limit: number): Promise<string[]> {
  const rows = await sql<{ key: string }[]>`
    select blob_key as key from doomed_blob where doom_time <= now() order by doom_time limit ${limit}`;
  return rows.map((row) => row.key);
}

/** Once the blobs are gone. */
export async function forgetDoomedBlobs(sql: SqlOrTransaction, keys: readonly string[]): Promise<void> {
  await sql`delete from doomed_blob where blob_key = any(${[...keys]})`;
}
