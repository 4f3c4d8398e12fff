import { AgynError } from "./errors.ts";
import type { RunnerAvailability } from "./runner.ts";

/** What of a runner decides whether its identity may be used. */
export type IdentityHolder = { availability: RunnerAvailability; availabilityReason: string };
/** What of a certificate does: the state of its identity, and whether a later generation was used. */
export type IdentityGeneration = {
  state: "current" | "superseded" | "revoked";
  generation: bigint;
  usedGeneration: bigint;
};

/** Throws where an identity must not be used: as `refuseEndedIdentity`, or where a later generation of it was used. */
export function refuseDeadIdentity(runner: IdentityHolder, generation: IdentityGeneration | undefined): void {
  refuseEndedIdentity(runner, generation);
  if (generation.generation < generation.usedGeneration) {
    throw new AgynError("IDENTITY_SUPERSEDED", "a renewed certificate of this identity is in use");
  }
}

/** Throws where no generation of an identity may be used: it is superseded or revoked, or its runner locked. */
export function refuseEndedIdentity(
  runner: IdentityHolder,
  generation: IdentityGeneration | undefined,
): asserts generation is IdentityGeneration {
  if (!generation) throw new AgynError("IDENTITY_REVOKED", "this identity is not known here");
  if (runner.availability === "locked")
    throw new AgynError("RUNNER_LOCKED", `the runner is locked: ${runner.availabilityReason}`);
  if (generation.state === "revoked")
    throw new AgynError("IDENTITY_REVOKED", "this identity was revoked: enroll again");
  if (generation.state === "superseded")
    throw new AgynError("IDENTITY_SUPERSEDED", "a later enrollment of this runner superseded this identity");
}
