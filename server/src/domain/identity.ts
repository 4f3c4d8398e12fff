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

/** Of a certificate's life, how far a runner may come without renewing; it is to do so by itself at half. */
const lateShare = 0.75;
/** Certificates count in whole seconds. */
const lifeTolerance_ms = 1000;

/** Of a certificate, in ms since 1970. */
export type CertificateLife = { issueTime_ms: number; expireTime_ms: number };

/**
 * When, in ms since 1970, a connected runner is told to renew its certificate: when it is late, or, where certificates live shorter now than
 * when this one was issued, at half of what its life would be now. `random`, in [0, 1), spreads a fleet whose lives were shortened at once.
 */
export function renewalDue(
  { issueTime_ms, expireTime_ms }: CertificateLife,
  ttl_ms: number,
  now_ms: number,
  random: number,
): number {
  const life_ms = expireTime_ms - issueTime_ms;
  if (life_ms <= ttl_ms + lifeTolerance_ms) return issueTime_ms + lateShare * life_ms;
  return Math.max(now_ms, issueTime_ms + ttl_ms / 2) + (random * ttl_ms) / 10;
}
