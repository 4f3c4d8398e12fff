import type { SqlOrTransaction } from "./database.ts";

/** A row of which one column is sealed: seal anew what it holds, or leave it (`undefined`). */
export type SealedRow = {
  key: string;
  organizationId: string;
  projectId: string | null;
  name: string;
  sealed: Uint8Array;
};

/** Everything in the database that is sealed under the master key, by kind. */
export type SealedKind = "sealed_secret" | "secret" | "workload" | "job" | SealedColumn;

/** What rows with an id keep sealed in a column of theirs. */
const columns = {
  trigger_secret: { table: "trigger", column: "secret" },
  trigger_credential: { table: "trigger", column: "credential" },
  webhook_secret: { table: "webhook", column: "secret" },
  webhook_previous_secret: { table: "webhook", column: "previous_secret" },
} as const;
type SealedColumn = keyof typeof columns;

/** In this order: a server with the old key alone cannot start once the first is done. */
export const sealedKinds: readonly SealedKind[] = [
  "sealed_secret",
  "secret",
  "workload",
  "job",
  "trigger_secret",
  "trigger_credential",
  "webhook_secret",
  "webhook_previous_secret",
];

/** The next rows of a kind after a key, locked. Of workloads and jobs, those that may still be handed to a runner. */
export async function lockSealedRows(
  sql: SqlOrTransaction,
  kind: SealedKind,
  { after, limit }: { after: string; limit: number },
): Promise<SealedRow[]> {
  const number = after === "" ? "0" : after;
  switch (kind) {
    case "sealed_secret":
      return sql<SealedRow[]>`
        select name as key, '' as "organizationId", null as "projectId", name, sealed from sealed_secret
        where name > ${after} order by name limit ${limit} for update`;
    case "secret":
      return sql<SealedRow[]>`
        select key::text, organization_id as "organizationId", project_id as "projectId", name, sealed from secret
        where key > ${number}::bigint order by secret.key limit ${limit} for update`;
    case "workload":
      return sql<SealedRow[]>`
        select w.key::text, w.organization_id as "organizationId", null as "projectId", '' as name, w.spec as sealed
        from workload w join life_by_key l on l.key = w.key
        where w.key > ${number}::bigint order by w.key limit ${limit} for update of w`;
    case "job":
      return sql<SealedRow[]>`
        select key::text, organization_id as "organizationId", null as "projectId", '' as name, spec as sealed from job
        where key > ${number}::bigint and state in ('queued', 'running') and spec is not null
        order by job.key limit ${limit} for update`;
    case "trigger_secret":
    case "trigger_credential":
    case "webhook_secret":
    case "webhook_previous_secret": {
      const { table, column } = columns[kind];
      return sql<SealedRow[]>`
        select id as key, '' as "organizationId", null as "projectId", id as name, ${sql(column)} as sealed from ${sql(table)}
        where id > ${after} and ${sql(column)} is not null order by id limit ${limit} for update`;
    }
  }
}

/** Puts what was sealed anew in the row with this key, which `lockSealedRows` has locked. */
export async function putSealed(
  sql: SqlOrTransaction,
  kind: SealedKind,
  key: string,
  sealed: Uint8Array,
): Promise<void> {
  switch (kind) {
    case "sealed_secret":
      await sql`update sealed_secret set sealed = ${sealed} where name = ${key}`;
      return;
    case "secret":
      await sql`update secret set sealed = ${sealed} where key = ${key}::bigint`;
      return;
    case "workload":
      await sql`update workload set spec = ${sealed} where key = ${key}::bigint`;
      return;
    case "job":
      await sql`update job set spec = ${sealed} where key = ${key}::bigint`;
      return;
    case "trigger_secret":
    case "trigger_credential":
    case "webhook_secret":
    case "webhook_previous_secret": {
      const { table, column } = columns[kind];
      await sql`update ${sql(table)} set ${sql(column)} = ${sealed} where id = ${key}`;
    }
  }
}
