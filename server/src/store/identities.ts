import { createId } from "../../../wire/ids.ts";
import type { SqlOrTransaction } from "./database.ts";

export type IdentityState = "current" | "superseded" | "revoked";

/** One certificate of an identity, with the state of the identity. */
export type GenerationRow = {
  identityId: string;
  runnerId: string;
  state: IdentityState;
  usedGeneration: bigint;
  generation: bigint;
  serial: string;
  chainPem: string;
  issueTime: Date;
  expireTime: Date;
};

export type NewGeneration = {
  identityId: string;
  generation: bigint;
  spkiSha256: string;
  serial: string;
  chainPem: string;
  issueTime: Date;
  expireTime: Date;
};

const columns = (sql: SqlOrTransaction) => sql`
  i.id as "identityId", i.runner_id as "runnerId", i.state, i.used_generation as "usedGeneration", g.generation, g.serial,
  g.chain_pem as "chainPem", g.issue_time as "issueTime", g.expire_time as "expireTime"`;

/** The certificate that was issued for a key. */
export async function findGeneration(sql: SqlOrTransaction, spkiSha256: string): Promise<GenerationRow | undefined> {
  const [row] = await sql<GenerationRow[]>`
    select ${columns(sql)} from identity_generation g join identity i on i.id = g.identity_id where g.spki_sha256 = ${spkiSha256}`;
  return row;
}

/** The newest certificate of an identity. */
export async function getLatestGeneration(
  sql: SqlOrTransaction,
  identityId: string,
): Promise<GenerationRow | undefined> {
  const [row] = await sql<GenerationRow[]>`
    select ${columns(sql)} from identity_generation g join identity i on i.id = g.identity_id
    where i.id = ${identityId} order by g.generation desc limit 1`;
  return row;
}

/** Starts an identity for a key; the runner's earlier ones are superseded, and what they have open is to end. */
export async function insertIdentity(sql: SqlOrTransaction, runnerId: string, spkiSha256: string): Promise<string> {
  const id = createId("identity");
  const superseded =
    await sql`update identity set state = 'superseded', end_time = now() where runner_id = ${runnerId} and state = 'current'`;
  if (superseded.count > 0) await insertRevocation(sql, runnerId, "IDENTITY_SUPERSEDED");
  await sql`insert into identity (id, runner_id, state, spki_sha256) values (${id}, ${runnerId}, 'current', ${spkiSha256})`;
  return id;
}

/** A certificate that was issued; throws where the identity has this generation already. */
export async function insertGeneration(sql: SqlOrTransaction, generation: NewGeneration): Promise<void> {
  await sql`
    insert into identity_generation (identity_id, generation, spki_sha256, serial, chain_pem, issue_time, expire_time)
    values (${generation.identityId}, ${generation.generation}, ${generation.spkiSha256}, ${generation.serial}, ${generation.chainPem},
      ${generation.issueTime}, ${generation.expireTime})`;
}

/**
 * Notes that a generation was used on a connection; from then on older ones are dead, and what they have open is to end (I12). Answers
 * whether there are older ones that were not dead before.
 */
export async function useGeneration(
  sql: SqlOrTransaction,
  { identityId, runnerId, generation }: Pick<GenerationRow, "identityId" | "runnerId" | "generation">,
): Promise<boolean> {
  const used =
    await sql`update identity set used_generation = ${generation} where id = ${identityId} and used_generation < ${generation}`;
  const supersedes = used.count > 0 && generation > 1n;
  if (supersedes) await insertRevocation(sql, runnerId, "IDENTITY_SUPERSEDED");
  return supersedes;
}

/** Of the keys of certificates, those that are live: of a current identity of which no later generation was used. */
export async function listLiveKeys(sql: SqlOrTransaction, keys: readonly string[]): Promise<string[]> {
  if (keys.length === 0) return [];
  const rows = await sql<{ key: string }[]>`
    select g.spki_sha256 as key from identity_generation g join identity i on i.id = g.identity_id
    where g.spki_sha256 = any(${[...keys]}) and i.state = 'current' and g.generation >= i.used_generation`;
  return rows.map((row) => row.key);
}

/** Whether the runner has an identity that is neither superseded nor revoked. */
export async function hasCurrentIdentity(sql: SqlOrTransaction, runnerId: string): Promise<boolean> {
  const rows = await sql`select 1 from identity where runner_id = ${runnerId} and state = 'current'`;
  return rows.length > 0;
}

/** Ends the runner's current identity. */
export async function revokeIdentities(sql: SqlOrTransaction, runnerId: string): Promise<void> {
  await sql`update identity set state = 'revoked', end_time = now() where runner_id = ${runnerId} and state = 'current'`;
}

/** Notes that a superseded identity was shown and refused; answers whether it is the first time. */
export async function noteRefusal(sql: SqlOrTransaction, identityId: string): Promise<boolean> {
  const rows =
    await sql`update identity set refuse_time = now() where id = ${identityId} and refuse_time is null returning 1`;
  return rows.length > 0;
}

/** Why a runner's sessions are to end: all of them, or those whose identity is superseded. */
export type RevocationReason = "IDENTITY_REVOKED" | "RUNNER_LOCKED" | "IDENTITY_SUPERSEDED";

/** Tells every replica to end the runner's sessions. */
export async function insertRevocation(
  sql: SqlOrTransaction,
  runnerId: string,
  reason: RevocationReason,
): Promise<void> {
  await sql`insert into revocation (runner_id, reason) values (${runnerId}, ${reason})`;
}

/** Revocations after `number`. A row may become visible after one with a higher number, so the reader looks back a little. */
export async function listRevocations(sql: SqlOrTransaction, number: bigint) {
  return sql<{ number: bigint; runnerId: string; reason: RevocationReason }[]>`
    select number, runner_id as "runnerId", reason from revocation where number > ${number} order by number limit 1000`;
}

/** The number of the newest revocation; 0 where there was none. */
export async function lastRevocation(sql: SqlOrTransaction): Promise<bigint> {
  const [row] = await sql<{ number: bigint }[]>`select coalesce(max(number), 0) as number from revocation`;
  return row?.number ?? 0n;
}

/** The newest certificate of each identity. */
export async function listLatestGenerations(
  sql: SqlOrTransaction,
  identityIds: readonly string[],
): Promise<Map<string, GenerationRow>> {
  if (identityIds.length === 0) return new Map();
  const rows = await sql<GenerationRow[]>`
    select distinct on (i.id) ${columns(sql)} from identity_generation g join identity i on i.id = g.identity_id
    where i.id = any(${[...identityIds]}) order by i.id, g.generation desc`;
  return new Map(rows.map((row) => [row.identityId, row]));
}

/** Deletes at most `limit` certificates that expired so long ago and were followed by a used one; answers how many. */
export async function sweepGenerations(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from identity_generation where (identity_id, generation) in (
      select g.identity_id, g.generation from identity_generation g join identity i on i.id = g.identity_id
      where g.expire_time < now() - ${keep_ms}::float8 * interval '1 millisecond' and g.generation < i.used_generation
      limit ${limit})`;
  return count;
}

/** Deletes at most `limit` revocations that are so old that every replica has read them, or started since; answers how many. */
export async function sweepRevocations(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from revocation where number in (
      select number from (select number, time from revocation order by number limit ${limit}) oldest
      where time < now() - ${keep_ms}::float8 * interval '1 millisecond')`;
  return count;
}
