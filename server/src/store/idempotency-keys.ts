import { AgynError } from "../domain/errors.ts";
import type { SqlOrTransaction } from "./database.ts";

export type IdempotencyClaim = {
  organizationId: string;
  method: string;
  key: string;
  requestHash: Uint8Array;
  objectId: string;
};

/** Claims a key for `objectId`; answers the id the key stands for: this one, or that of the first call with the same request. */
export async function claimIdempotencyKey(sql: SqlOrTransaction, claim: IdempotencyClaim): Promise<string> {
  await sql`
    insert into idempotency_key (organization_id, method, key, request_hash, object_id)
    values (${claim.organizationId}, ${claim.method}, ${claim.key}, ${claim.requestHash}, ${claim.objectId}) on conflict do nothing`;
  const [row] = await sql<{ requestHash: Uint8Array; objectId: string }[]>`
    select request_hash as "requestHash", object_id as "objectId" from idempotency_key
    where organization_id = ${claim.organizationId} and method = ${claim.method} and key = ${claim.key}`;
  if (!row || Buffer.compare(row.requestHash, claim.requestHash) !== 0) {
    throw new AgynError("IDEMPOTENCY_KEY_REUSED", `idempotency_key: "${claim.key}" was used with another request`);
  }
  return row.objectId;
}

/** Forgets at most `limit` keys that were claimed so long ago; answers how many. */
export async function sweepIdempotencyKeys(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from idempotency_key where ctid in (
      select ctid from idempotency_key where create_time < now() - ${keep_ms}::float8 * interval '1 millisecond' limit ${limit})`;
  return count;
}
