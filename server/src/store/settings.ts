import type postgres from "postgres";
import type { SqlOrTransaction } from "./database.ts";

/** The setting's value, or `undefined`. */
export async function getSetting<T>(sql: SqlOrTransaction, name: string): Promise<T | undefined> {
  const [row] = await sql<{ value: T }[]>`select value from setting where name = ${name}`;
  return row?.value;
}

/** Stores `value` unless the setting is there; returns what is in force, so that replicas starting together agree. */
export async function claimSetting<T extends postgres.JSONValue>(
  sql: SqlOrTransaction,
  name: string,
  value: T,
): Promise<T> {
  await sql`insert into setting (name, value) values (${name}, ${sql.json(value)}) on conflict do nothing`;
  return (await getSetting<T>(sql, name)) ?? value;
}

/** The sealed secret, or `undefined`. */
export async function getSealedSecret(sql: SqlOrTransaction, name: string): Promise<Uint8Array | undefined> {
  const [row] = await sql<{ sealed: Uint8Array }[]>`select sealed from sealed_secret where name = ${name}`;
  return row?.sealed;
}

/** Stores `sealed` unless the secret is there; returns what is in force. */
export async function claimSealedSecret(sql: SqlOrTransaction, name: string, sealed: Uint8Array): Promise<Uint8Array> {
  await sql`insert into sealed_secret (name, sealed) values (${name}, ${sealed}) on conflict do nothing`;
  return (await getSealedSecret(sql, name)) ?? sealed;
}

/** Stores `sealed` in the place of what was there. */
export async function putSealedSecret(sql: SqlOrTransaction, name: string, sealed: Uint8Array): Promise<void> {
  await sql`
    insert into sealed_secret (name, sealed) values (${name}, ${sealed})
    on conflict (name) do update set sealed = excluded.sealed`;
}
