import { createId } from "../../../wire/ids.ts";
import { startRun, type RunRequest, type StartDeps, type StartedRun } from "../runs/start-run.ts";
import type { AuditEvent } from "../store/audit-events.ts";
import { claimIdempotencyKey, type IdempotencyClaim } from "../store/idempotency-keys.ts";
import { getRun, type RunRow } from "../store/runs.ts";
import { isUniqueViolation } from "../store/unique.ts";

/** A call that starts a run. */
export type RunCall = {
  request: RunRequest;
  /** By what an idempotency key knows the call again; `undefined`: it has none. */
  claim: Omit<IdempotencyClaim, "objectId"> | undefined;
  /** What is written down of the start. */
  eventOf: (run: StartedRun) => AuditEvent;
};

/** Starts the run of a call, or answers the one that the first call with its idempotency key started. */
export async function startKeyedRun(deps: StartDeps, { request, claim, eventOf }: RunCall): Promise<RunRow> {
  const objectId = createId("run");
  const id = claim === undefined ? objectId : await claimIdempotencyKey(deps.sql, { ...claim, objectId });
  const earlier = id === objectId ? undefined : await getRun(deps.sql, id);
  if (earlier) return earlier;
  return startRun(deps, request, id, eventOf).catch(async (error: unknown) => {
    // The same call, made at the same time, was quicker.
    const quicker = isUniqueViolation(error) ? await getRun(deps.sql, id) : undefined;
    if (!quicker) throw error;
    return quicker;
  });
}
