import type { Caller } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import { refuseDeadIdentity, refuseEndedIdentity } from "../domain/identity.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { findGeneration, noteRefusal, type GenerationRow } from "../store/identities.ts";
import { getRunner, scopeOf, type RunnerRow } from "../store/runners.ts";

export type RunnerCall = { caller: Extract<Caller, { kind: "runner" }>; method: string; source: string };

/** An old generation that comes here may be a second live copy; these find that out under the runner's lock. */
const judgesGenerations: ReadonlySet<string> = new Set(["Placements", "RenewIdentity"]);

/** Refuses a runner whose identity is gone, at each call: TLS has only shown that the certificate was issued once (I5, I12). */
export function createRunnerCheck(sql: Sql): (call: RunnerCall) => Promise<void> {
  return async ({ caller, method, source }) => {
    if (caller.expireTime.getTime() < Date.now())
      throw new AgynError("IDENTITY_EXPIRED", "the certificate has expired");
    const [runner, generation] = await Promise.all([
      getRunner(sql, caller.runnerId),
      findGeneration(sql, caller.spkiSha256),
    ]);
    if (!runner || runner.deleteTime !== null) throw new AgynError("IDENTITY_REVOKED", "the runner was deleted");
    const own = generation?.runnerId === runner.id ? generation : undefined;
    if (own?.state === "superseded") await reportSuperseded(sql, runner, own, source);
    if (judgesGenerations.has(method)) refuseEndedIdentity(runner, own);
    else refuseDeadIdentity(runner, own);
  };
}

/**
 * An owner that finds itself superseded may have lost its token to a thief: an event, once for each identity. Note and event are one
 * transaction, so that no second call is refused before the event of the first is there, and no crash between them loses it.
 */
async function reportSuperseded(sql: Sql, runner: RunnerRow, identity: GenerationRow, source: string): Promise<void> {
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
