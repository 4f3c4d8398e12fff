import type { SqlOrTransaction } from "./database.ts";
import type { Content } from "./contents.ts";

/** Files that runs of an organization start with. */
export async function getBundle(
  sql: SqlOrTransaction,
  organizationId: string,
  sha256: string,
): Promise<Content | undefined> {
  const [row] = await sql<Content[]>`
    select content.sha256, content.size_bytes as "sizeBytes", content.blob_key as "blobKey"
    from bundle join content using (sha256) where organization_id = ${organizationId} and sha256 = ${sha256}`;
  return row;
}

/** Notes that an organization has a bundle, and uses it now. */
export async function noteBundle(sql: SqlOrTransaction, organizationId: string, sha256: string): Promise<void> {
  await sql`
    insert into bundle (organization_id, sha256) values (${organizationId}, ${sha256})
    on conflict (organization_id, sha256) do update set use_time = now()`;
}

/** Takes bundles away that were not used for so long and that no live run has. */
export async function sweepBundles(sql: SqlOrTransaction, unused_ms: number): Promise<void> {
  await sql`
    delete from bundle where use_time < now() - ${unused_ms}::float8 * interval '1 millisecond'
      and not exists (
        select from run where run.organization_id = bundle.organization_id and run.bundle_digest = bundle.sha256
          and run.end_time is null)`;
}
