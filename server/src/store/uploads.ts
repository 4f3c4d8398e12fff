import type { SqlOrTransaction } from "./database.ts";

/** Bytes on their way: the id is the artifact's, or of a bundle's upload. */
export type Upload = { id: string; organizationId: string; receivedBytes: bigint };

export type UploadPart = { firstByte: bigint; sizeBytes: bigint; blobKey: string };

const columns = (sql: SqlOrTransaction) =>
  sql`id, organization_id as "organizationId", received_bytes as "receivedBytes"`;

export async function insertUpload(
  sql: SqlOrTransaction,
  upload: Pick<Upload, "id" | "organizationId">,
): Promise<void> {
  await sql`
    insert into upload (id, organization_id) values (${upload.id}, ${upload.organizationId}) on conflict (id) do nothing`;
}

export async function getUpload(sql: SqlOrTransaction, id: string): Promise<Upload | undefined> {
  const [row] = await sql<Upload[]>`select ${columns(sql)} from upload where id = ${id}`;
  return row;
}

/** Appends a part whose blob is there; answers whether the upload stood at its offset. */
export async function appendPart(sql: SqlOrTransaction, uploadId: string, part: UploadPart): Promise<boolean> {
  const rows = await sql`
    with moved as (
      update upload set received_bytes = received_bytes + ${part.sizeBytes}, update_time = now()
      where id = ${uploadId} and received_bytes = ${part.firstByte} returning id
    ), touched as (update artifact set update_time = now() from moved where artifact.id = moved.id)
    insert into upload_part (upload_id, first_byte, size_bytes, blob_key)
    select id, ${part.firstByte}, ${part.sizeBytes}, ${part.blobKey} from moved returning upload_id`;
  return rows.length === 1;
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

/** Of these blobs, those that are parts of an upload. */
export async function knownPartBlobs(sql: SqlOrTransaction, keys: readonly string[]): Promise<Set<string>> {
  const rows = await sql<{ key: string }[]>`
    select blob_key as key from upload_part where blob_key = any(${[...keys]})`;
  return new Set(rows.map((row) => row.key));
}
