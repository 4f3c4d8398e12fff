import type { Caller } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import { refuseDeadIdentity, refuseEndedIdentity } from "../domain/identity.ts";
import type { Sql } from "../store/database.ts";
import { findGeneration } from "../store/identities.ts";
import { getRunner } from "../store/runners.ts";
import { reportSuperseded } from "./report-superseded.ts";

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
