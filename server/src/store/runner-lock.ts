import { insertAuditEvent } from "./audit-events.ts";
import type { SqlOrTransaction } from "./database.ts";
import { insertRevocation, revokeIdentities } from "./identities.ts";
import { raiseFleetVersion } from "./leader.ts";
import { scopeOf, setAvailability, type RunnerRow } from "./runners.ts";

/** Locks a runner whose identity has two live copies: sessions end everywhere, and the identity is gone. */
export async function lockClone(sql: SqlOrTransaction, runner: RunnerRow, why: string): Promise<void> {
  await setAvailability(sql, runner.id, "locked", `identity suspected stolen: ${why}`);
  await revokeIdentities(sql, runner.id);
  await insertRevocation(sql, runner.id, "RUNNER_LOCKED");
  await raiseFleetVersion(sql);
  await insertAuditEvent(sql, {
    scope: scopeOf(runner),
    actor: runner.id,
    action: "runner.lock",
    objectId: runner.id,
    objectName: runner.name,
    outcome: "ok",
    details: { why },
  });
}
