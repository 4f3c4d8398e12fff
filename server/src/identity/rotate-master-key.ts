/**
 * Another master key for everything that is sealed, while no server runs.
 *
 * 1. The new key is in the file, before the old one, before anything is sealed under it: what is sealed can be opened at every moment.
 * 2. Each batch is one transaction, and what the new key has sealed is passed over: a rotation that was interrupted is gone on with by the
 *    next, under the same new key. Servers work between the two.
 * 3. The old key leaves the file when nothing is sealed under it. It is kept beside, for backups of the database.
 */
import { randomBytes } from "node:crypto";
import { ConfigError } from "../config.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import { acquireLeadership, releaseLeadership } from "../store/leader.ts";
import { lockSealedRows, putSealed, sealedKinds, type SealedKind, type SealedRow } from "../store/sealed-rows.ts";
import { getSealedSecret } from "../store/settings.ts";
import { keyBytes, readKeyFile, replaceKeyFile, type KeyRing } from "./key-file.ts";
import { keyId, masterKeyOf, type MasterKey } from "./master-key.ts";
import { resealSpec } from "./sealed-spec.ts";
import { secretContext } from "./sealed-secret.ts";
import { webhookKeyContext } from "./webhook-key.ts";

/** Holds the lead of the cluster meanwhile, so that no server takes it. */
const holder = "rotate-master-key";
const lease_ms = 60_000;
const batchRows = 100;

/** The new key's id, how many values were sealed anew, and where the old keys are now. */
export type Rotation = { id: string; sealed: number; retired: string[] };

/**
 * Makes a new master key, seals everything under it anew, and retires the old ones beside `file`; one that was interrupted goes on when
 * it is called again. Throws a `ConfigError` where there is no key, or not the database's.
 */
export async function rotateMasterKey(sql: Sql, file: string): Promise<Rotation> {
  const found = await readKeyFile(file);
  if (found === undefined)
    throw new ConfigError(`master_key_file: ${file} does not exist, so there is nothing to rotate`);
  await refuseOther(sql, masterKeyOf(...found));
  await holdLead(sql, true);
  try {
    const keys: KeyRing = found.length > 1 ? found : [randomBytes(keyBytes), ...found];
    if (keys !== found) await replaceKeyFile(file, keys);
    const masterKey = masterKeyOf(...keys);
    let sealed = 0;
    for (const kind of sealedKinds) sealed += await resealAll(sql, kind, masterKey);
    return { id: masterKey.id, sealed, retired: await retire(file, keys) };
  } finally {
    await releaseLeadership(sql, holder);
  }
}

/** The database must be of this key. */
async function refuseOther(sql: Sql, masterKey: MasterKey): Promise<void> {
  const name = "nonce-key";
  const sealed = await getSealedSecret(sql, name);
  if (sealed === undefined)
    throw new ConfigError("this database was never used by a server: there is nothing to rotate");
  const opened = masterKey.open(sealed, `secret/${name}`);
  if ("error" in opened) throw new ConfigError(`master_key_file: it is not this database's (${opened.error})`);
}

async function holdLead(sql: Sql, isFresh: boolean): Promise<void> {
  if (await acquireLeadership(sql, holder, lease_ms, isFresh)) return;
  throw new ConfigError(
    "a server runs on this database, or did until a moment ago: stop every server, and try again in a minute",
  );
}

async function resealAll(sql: Sql, kind: SealedKind, masterKey: MasterKey): Promise<number> {
  let count = 0;
  for (let after: string | undefined = ""; after !== undefined;) {
    const from: string = after;
    await holdLead(sql, false);
    const batch = await sql.begin((transaction) => resealBatch(transaction, { kind, after: from }, masterKey));
    count += batch.count;
    after = batch.last;
  }
  return count;
}

async function resealBatch(
  sql: SqlOrTransaction,
  { kind, after }: { kind: SealedKind; after: string },
  masterKey: MasterKey,
): Promise<{ count: number; last: string | undefined }> {
  const rows = await lockSealedRows(sql, kind, { after, limit: batchRows });
  let count = 0;
  for (const row of rows) {
    const sealed = resealed(kind, row, masterKey);
    if (sealed === undefined) continue;
    await putSealed(sql, kind, row.key, sealed);
    count += 1;
  }
  return { count, last: rows.at(-1)?.key };
}

/** What a row holds under the key in force; `undefined` where it is so already. */
function resealed(kind: SealedKind, row: SealedRow, masterKey: MasterKey): Uint8Array | undefined {
  if (kind === "workload" || kind === "job") return resealSpec(row.sealed, row.organizationId, masterKey);
  if (masterKey.hasSealed(row.sealed)) return undefined;
  const context = contextOf(kind, row);
  const opened = masterKey.open(row.sealed, context);
  if ("error" in opened) throw new Error(`${kind} ${row.name}: ${opened.error}`);
  return masterKey.seal(opened, context);
}

/** What a value is bound to. */
function contextOf(kind: Exclude<SealedKind, "workload" | "job">, row: SealedRow): string {
  switch (kind) {
    case "sealed_secret":
      return `secret/${row.name}`;
    case "secret":
      return secretContext(row);
    case "trigger_secret":
      return `trigger/${row.name}/secret`;
    case "trigger_credential":
      return `trigger/${row.name}/credential`;
    case "webhook_secret":
    case "webhook_previous_secret":
      return webhookKeyContext(row.name);
  }
}

/** Moves all but the first key to files of their own. */
async function retire(file: string, [current, ...earlier]: KeyRing): Promise<string[]> {
  const retired: string[] = [];
  for (const key of earlier) {
    const path = `${file}.${keyId(key).toString("hex")}`;
    await replaceKeyFile(path, [key]);
    retired.push(path);
  }
  await replaceKeyFile(file, [current]);
  return retired;
}
