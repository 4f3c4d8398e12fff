import type { Caller } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import type { Sql } from "../store/database.ts";
import { findGeneration } from "../store/identities.ts";
import { getRunner } from "../store/runners.ts";

/** Refuses a runner whose identity is gone, at each call: TLS has only shown that the certificate was issued once (I5, I12). */
export function createRunnerCheck(sql: Sql): (caller: Extract<Caller, { kind: "runner" }>) => Promise<void> {
  return async (caller) => {
    if (caller.expireTime.getTime() < Date.now())
      throw new AgynError("IDENTITY_EXPIRED", "the certificate has expired");
    const [runner, generation] = await Promise.all([
      getRunner(sql, caller.runnerId),
      findGeneration(sql, caller.spkiSha256),
    ]);
    if (!runner || runner.deleteTime !== null) throw new AgynError("IDENTITY_REVOKED", "the runner was deleted");
    if (!generation || generation.runnerId !== runner.id)
      throw new AgynError("IDENTITY_REVOKED", "this identity is not known here");
    if (runner.availability === "locked")
      throw new AgynError("RUNNER_LOCKED", `the runner is locked: ${runner.availabilityReason}`);
    if (generation.state === "revoked")
      throw new AgynError("IDENTITY_REVOKED", "this identity was revoked: enroll again");
    if (generation.state === "superseded")
      throw new AgynError("IDENTITY_SUPERSEDED", "a later enrollment of this runner superseded this identity");
  };
}
