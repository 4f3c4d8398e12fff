import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { noteRefusal, type GenerationRow } from "../store/identities.ts";
import { scopeOf, type RunnerRow } from "../store/runners.ts";

/**
 * An owner that finds itself superseded may have lost its token to a thief: an event, once for each identity. Note and event are one
 * transaction, so that no second call is refused before the event of the first is there, and no crash between them loses it.
 */
export async function reportSuperseded(
  sql: Sql,
  runner: RunnerRow,
  identity: GenerationRow,
  source: string,
): Promise<void> {
  await sql.begin(async (transaction) => {
    if (!(await noteRefusal(transaction, identity.identityId))) return;
    await insertAuditEvent(transaction, {
      scope: scopeOf(runner),
      actor: runner.id,
      action: "runner.connect",
      objectId: runner.id,
      objectName: runner.name,
      source,
      outcome: "IDENTITY_SUPERSEDED",
      details: { identity_id: identity.identityId },
    });
  });
}
