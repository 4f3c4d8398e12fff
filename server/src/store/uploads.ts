import type { SqlOrTransaction } from "./database.ts";

/** Bytes on their way: the id is the artifact's, or of a bundle's upload, which is of one user. */
export type Upload = { id: string; organizationId: string; userId: string | null; receivedBytes: bigint };

export type UploadPart = { firstByte: bigint; sizeBytes: bigint; blobKey: string };

const columns = (sql: SqlOrTransaction) =>
  sql`id, organization_id as "organizationId", user_id as "userId", received_bytes as "receivedBytes"`;

/** Begins an upload at 0 bytes; one of this id that is there stays as it is. */
export async function insertUpload(
  sql: SqlOrTransaction,
  { id, organizationId, userId }: Omit<Upload, "receivedBytes">,
): Promise<void> {
  await sql`
    insert into upload (id, organization_id, user_id) values (${id}, ${organizationId}, ${userId})
    on conflict (id) do nothing`;
}

/** How many bundles an organization's users upload now. */
export async function countBundleUploads(sql: SqlOrTransaction, organizationId: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int from upload where organization_id = ${organizationId} and user_id is not null`;
  return row!.count;
}

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getUpload(sql: SqlOrTransaction, id: string): Promise<Upload | undefined> {
  const [row] = await sql<Upload[]>`select ${columns(sql)} from upload where id = ${id}`;
  return row;
}

/** Appends a part whose blob is there, and spares it; answers whether the upload stood at its offset. */
export async function appendPart(sql: SqlOrTransaction, uploadId: string, part: UploadPart): Promise<boolean> {
  const rows = await sql`
    with moved as (
      update upload set received_bytes = received_bytes + ${part.sizeBytes}, update_time = now()
      where id = ${uploadId} and received_bytes = ${part.firstByte} returning id
    ), touched as (update artifact set update_time = now() from moved where artifact.id = moved.id
    ), spared as (delete from doomed_blob using moved where blob_key = ${part.blobKey})
    insert into upload_part (upload_id, first_byte, size_bytes, blob_key)
    select id, ${part.firstByte}, ${part.sizeBytes}, ${part.blobKey} from moved returning upload_id`;
  return rows.length === 1;
}

/** How many parts of an upload are smaller than so many bytes. */
export async function countPartsBelow(sql: SqlOrTransaction, uploadId: string, bytes: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int from upload_part where upload_id = ${uploadId} and size_bytes < ${bytes}`;
  return row!.count;
}

/** In their order. */
export async function listParts(sql: SqlOrTransaction, uploadId: string): Promise<UploadPart[]> {
  return sql<UploadPart[]>`
    select first_byte as "firstByte", size_bytes as "sizeBytes", blob_key as "blobKey" from upload_part
    where upload_id = ${uploadId} order by first_byte`;
}

/** Takes uploads away with their parts, whose blobs are doomed. */
export async function dropUploads(sql: SqlOrTransaction, ids: readonly string[]): Promise<void> {
  await sql`
    insert into doomed_blob (blob_key) select blob_key from upload_part where upload_id = any(${[...ids]})
    on conflict do nothing`;
  await sql`delete from upload where id = any(${[...ids]})`;
}

/** What was received is not what was meant: it begins anew. */
export async function restartUpload(sql: SqlOrTransaction, upload: Upload): Promise<void> {
  await dropUploads(sql, [upload.id]);
  await insertUpload(sql, upload);
}

/** Uploads to which nothing was added for so long. */
export async function listStaleUploads(sql: SqlOrTransaction, idle_ms: number, limit: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from upload where update_time < now() - ${idle_ms}::float8 * interval '1 millisecond' limit ${limit}`;
  return rows.map((row) => row.id);
}
