import {
  effectiveLabels,
  type Runner,
  type RunnerAvailability,
  type RunnerScope,
  type RunnerStatus,
} from "../domain/runner.ts";
import type { Sql, SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";
import { orNameTaken } from "./unique.ts";

/** What a runner said of itself in its last hello. */
export type RunnerReport = {
  /** Of its process; empty before runners said it. */
  instanceId?: string;
  labels: Record<string, string>;
  found: string[];
  executors: string[];
  capacity: Record<string, number>;
  isolation: string;
  version: string;
  host: string;
  /** Opens tunnels when told to; not said by older runners. */
  tunnels?: boolean;
  /** Hosts its service in the network over which its session goes; not said by older runners. */
  hostsService?: boolean;
};

/** A runner's record. */
export type RunnerRow = {
  id: string;
  organizationId: string | null;
  name: string;
  labels: Record<string, string>;
  capabilities: string[];
  availability: RunnerAvailability;
  availabilityReason: string;
  status: RunnerStatus;
  reported: RunnerReport | null;
  tokenPublicKey: Uint8Array;
  tokenCreateTime: Date;
  tokenMaximumUses: number;
  tokenUses: number;
  tokenExpireTime: Date | null;
  /** Whether the token has expired, by the database's clock. */
  isTokenExpired: boolean;
  tokenSourceCidrs: string[];
  identityId: string | null;
  enrollTime: Date | null;
  sessionNumber: bigint;
  confirmedSessionNumber: bigint;
  sessionReplicaId: string | null;
  leaseTime: Date | null;
  /** Whether the lease holds, by the database's clock. */
  isLeased: boolean;
  heartbeatTime: Date | null;
  createTime: Date;
  updateTime: Date;
  deleteTime: Date | null;
  /** The transaction of the last change that others want to hear of. */
  changeXid: string;
};

/** The token half of a runner's record. */
export type TokenRow = {
  publicKey: Uint8Array;
  maximumUses: number;
  lifetime_ms: number | null;
  sourceCidrs: readonly string[];
};

const columns = (sql: SqlOrTransaction) => sql`
  id, organization_id as "organizationId", name, labels, capabilities, availability, availability_reason as "availabilityReason", status,
  reported, token_public_key as "tokenPublicKey", token_create_time as "tokenCreateTime", token_maximum_uses as "tokenMaximumUses",
  token_uses as "tokenUses", token_expire_time as "tokenExpireTime", token_source_cidrs as "tokenSourceCidrs", identity_id as "identityId",
  enroll_time as "enrollTime", session_number as "sessionNumber", confirmed_session_number as "confirmedSessionNumber",
  session_replica_id as "sessionReplicaId", lease_time as "leaseTime",
  coalesce(lease_time > now(), false) as "isLeased", coalesce(token_expire_time < now(), false) as "isTokenExpired", heartbeat_time as "heartbeatTime", create_time as "createTime",
  update_time as "updateTime", delete_time as "deleteTime", change_xid::text as "changeXid"`;

/** The scope of a record. */
export function scopeOf(row: Pick<RunnerRow, "organizationId">): RunnerScope {
  return row.organizationId === null
    ? { kind: "cluster" }
    : { kind: "organization", organizationId: row.organizationId };
}

/**
 * The record as selection sees it. A runner that has not connected yet is taken at its operator's word, so that a demand
 * waits for it instead of failing.
 */
export function toDomainRunner(row: RunnerRow): Runner {
  const reported = row.reported;
  return {
    id: row.id,
    name: row.name,
    scope: scopeOf(row),
    // Within its lease a runner whose link is lost keeps its status for people, but nothing new is placed on it.
    status: row.status === "enrolled" && row.sessionReplicaId === null ? "offline" : row.status,
    availability: row.availability,
    availabilityReason: row.availabilityReason,
    labels: effectiveLabels(new Map(Object.entries(row.labels)), new Map(Object.entries(reported?.labels ?? {}))),
    declaredCapabilities: row.capabilities,
    foundCapabilities: reported?.found ?? row.capabilities,
    executors: reported?.executors ?? [],
    capacity: new Map(Object.entries(reported?.capacity ?? {})),
    ...(reported === null && { isUnknown: true }),
  };
}

/** Creates a record; `NAME_TAKEN` where the name is in its scope. */
export async function insertRunner(
  sql: SqlOrTransaction,
  runner: {
    id: string;
    organizationId: string | null;
    name: string;
    labels: Record<string, string>;
    capabilities: readonly string[];
    token: TokenRow;
  },
): Promise<RunnerRow> {
  const { token } = runner;
  const [row] = await sql<RunnerRow[]>`
    insert into runner (id, organization_id, name, labels, capabilities, token_public_key, token_maximum_uses, token_expire_time, token_source_cidrs)
    values (${runner.id}, ${runner.organizationId}, ${runner.name}, ${sql.json(runner.labels)}, ${[...runner.capabilities]},
      ${token.publicKey}, ${token.maximumUses}, now() + ${token.lifetime_ms}::float8 * interval '1 millisecond', ${[...token.sourceCidrs]})
    returning ${columns(sql)}`.catch(orNameTaken(`a runner named "${runner.name}" exists in this scope`));
  return row!;
}

/**
 * By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. Deleted ones
 * are there as tombstones.
 */
export async function getRunner(sql: SqlOrTransaction, id: string): Promise<RunnerRow | undefined> {
  const [row] = await sql<RunnerRow[]>`select ${columns(sql)} from runner where id = ${id}`;
  return row;
}

/** The records with these ids, as far as there are such. */
export async function listRunnersById(sql: SqlOrTransaction, ids: readonly string[]): Promise<RunnerRow[]> {
  if (ids.length === 0) return [];
  return sql<RunnerRow[]>`select ${columns(sql)} from runner where id = any(${[...ids]})`;
}

/** The record, locked until the transaction ends. */
export async function lockRunner(sql: SqlOrTransaction, id: string): Promise<RunnerRow | undefined> {
  const [row] = await sql<RunnerRow[]>`select ${columns(sql)} from runner where id = ${id} for update`;
  return row;
}

/** What a reference may mean: exact id; else the name in the organization; else the name in the cluster; else an id prefix. */
export async function findRunners(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<RunnerRow[]> {
  const exact = await getRunner(sql, reference);
  if (exact) return exact.deleteTime === null ? [exact] : [];
  const named = await sql<RunnerRow[]>`
    select ${columns(sql)} from runner
    where name = ${reference} and delete_time is null and (organization_id is null or organization_id = ${organizationId ?? null})
    order by organization_id nulls last limit 1`;
  if (named.length > 0 || !reference.startsWith("rnr_")) return named;
  return sql<RunnerRow[]>`
    select ${columns(sql)} from runner
    where starts_with(id, ${reference}) and delete_time is null and (organization_id is null or organization_id = ${organizationId ?? null}) limit 5`;
}

export type RunnerFilter = {
  organizationId: string;
  clusterOnly: boolean;
  labels: Record<string, string>;
  statuses: readonly RunnerStatus[];
};

/** The organization's runners and those of the cluster, by name. */
export async function listRunners(sql: SqlOrTransaction, filter: RunnerFilter, page: Page) {
  const after = (decodeCursor(page.token, "runner") ?? "").split("\n");
  const rows = await sql<RunnerRow[]>`
    select ${columns(sql)} from runner
    where delete_time is null
      and (organization_id is null or (not ${filter.clusterOnly} and organization_id = ${filter.organizationId}))
      and labels @> ${sql.json(filter.labels)}
      and (${filter.statuses.length === 0} or status = any(${[...filter.statuses]}))
      and (name, id) > (${after[0] ?? ""}, ${after[1] ?? ""})
    order by name, id limit ${page.size + 1}`;
  return cut("runner", rows, page, ({ name, id }) => `${name}\n${id}`);
}

/** Every record that is not a tombstone. */
export async function listAllRunners(sql: SqlOrTransaction): Promise<RunnerRow[]> {
  return sql<RunnerRow[]>`select ${columns(sql)} from runner where delete_time is null`;
}

/** Records that were changed by `fromXid` or a later transaction, as far as visible; with tombstones. */
export async function listChangedRunners(sql: SqlOrTransaction, fromXid: string): Promise<RunnerRow[]> {
  return sql<RunnerRow[]>`select ${columns(sql)} from runner where change_xid >= ${fromXid}::xid8`;
}

/** Name, labels and capabilities; what is undefined stays. */
export async function updateRunner(
  sql: SqlOrTransaction,
  id: string,
  change: { name?: string; labels?: Record<string, string>; capabilities?: readonly string[] },
): Promise<RunnerRow> {
  const [row] = await sql<RunnerRow[]>`
    update runner set name = coalesce(${change.name ?? null}, name),
      labels = coalesce(${change.labels ? sql.json(change.labels) : null}::jsonb, labels),
      capabilities = coalesce(${change.capabilities ? [...change.capabilities] : null}::text[], capabilities),
      update_time = now(), change_xid = pg_current_xact_id()
    where id = ${id} returning ${columns(sql)}`.catch(
    orNameTaken(`a runner named "${change.name}" exists in this scope`),
  );
  return row!;
}

/** Of a runner that is there; `reason` is for people. */
export async function setAvailability(
  sql: SqlOrTransaction,
  id: string,
  availability: RunnerAvailability,
  reason: string,
): Promise<RunnerRow> {
  const [row] = await sql<RunnerRow[]>`
    update runner set availability = ${availability}, availability_reason = ${reason}, update_time = now(), change_xid = pg_current_xact_id()
    where id = ${id} returning ${columns(sql)}`;
  return row!;
}

/** A new service token; its uses start at 0. */
export async function replaceToken(sql: SqlOrTransaction, id: string, token: TokenRow): Promise<RunnerRow> {
  const [row] = await sql<RunnerRow[]>`
    update runner set token_public_key = ${token.publicKey}, token_maximum_uses = ${token.maximumUses}, token_uses = 0, token_create_time = now(),
      token_expire_time = now() + ${token.lifetime_ms}::float8 * interval '1 millisecond', token_source_cidrs = ${[...token.sourceCidrs]},
      update_time = now(), change_xid = pg_current_xact_id()
    where id = ${id} returning ${columns(sql)}`;
  return row!;
}

/** Makes the record a tombstone. */
export async function deleteRunner(sql: SqlOrTransaction, id: string): Promise<RunnerRow> {
  const [row] = await sql<RunnerRow[]>`
    update runner set delete_time = now(), update_time = now(), status = 'offline', session_replica_id = null, identity_id = null,
      change_xid = pg_current_xact_id()
    where id = ${id} returning ${columns(sql)}`;
  return row!;
}

/** Counts a use of the token and binds the identity. */
export async function bindIdentity(sql: SqlOrTransaction, id: string, identityId: string): Promise<void> {
  await sql`
    update runner set identity_id = ${identityId}, token_uses = token_uses + 1, enroll_time = now(), confirmed_session_number = 0,
      update_time = now(), change_xid = pg_current_xact_id()
    where id = ${id}`;
}

/** What a network that knows each runner by name needs of all that are registered. */
export type NetworkRunnerRow = Pick<RunnerRow, "id" | "organizationId"> & {
  /** Locked, or enrolled once and without an identity that counts. */
  isBarred: boolean;
};

/** Of all runners but deleted ones, by id. */
export async function listNetworkRunners(sql: Sql): Promise<NetworkRunnerRow[]> {
  return sql<NetworkRunnerRow[]>`
    select r.id, r.organization_id as "organizationId",
      r.availability = 'locked' or (r.enroll_time is not null and coalesce(i.state, '') <> 'current') as "isBarred"
    from runner r left join identity i on i.id = r.identity_id where r.delete_time is null order by r.id`;
}
