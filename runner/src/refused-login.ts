import type { Logger } from "pino";
import { bootTimeMs } from "./boot-clock.ts";
import { renewExpired, type EnrollmentDeps } from "./enroll.ts";
import { rootPinOf } from "./identity-keys.ts";
import type { StoredIdentity } from "./identity-store.ts";
import { refusalOf } from "./refusal.ts";
import type { SessionEnd } from "./session.ts";

/** The end of a session, or of the try to have one, that this runner did not bring about. */
export type Failure = Exclude<SessionEnd, { kind: "left" }>;

/** `isUnauthorized`: it was a network that did not let this runner in. */
export type FailedDial = { end: Failure; isUnauthorized: boolean };

/** A network may hear of a new runner later than the runner of the network: one refusal says nothing yet. */
const suspiciousRefusals = 2;
/** What the gateway has said is believed for so long. */
const askAgainMs = 10 * 60_000;

/**
 * Finds out why a network lets this runner in no more. It does not say so itself, and the runner plane is behind it; but the gateway renews
 * the identity, which does no harm, or refuses to for the reason.
 */
export function createLoginDoubt(deps: EnrollmentDeps & { log: Logger }) {
  const { store, signal, log } = deps;
  let refusals = 0;
  let askedAtMs = -Infinity;

  async function ask(identity: StoredIdentity, unexplained: Failure): Promise<Failure> {
    const runnerId = store.load()?.runnerId;
    if (runnerId === undefined || signal.aborted) return unexplained;
    try {
      await renewExpired(deps, { runnerId, expired: identity, rootPin: rootPinOf(identity) });
      askedAtMs = bootTimeMs();
      log.info("the network refuses this runner, and the control plane does not: it renewed the identity");
      return unexplained;
    } catch (error) {
      const { reason, message, retryAfterMs } = refusalOf(error);
      if (reason !== undefined) return { kind: "refused", reason, message, retryAfterMs, isFinal: false };
      log.debug({ error: message }, "the gateway did not say why the network refuses this runner");
      return unexplained;
    }
  }

  return {
    /** The failure of a dial, with the gateway's reason where it has one. Never rejects. */
    async explain(identity: StoredIdentity, { end, isUnauthorized }: FailedDial): Promise<Failure> {
      refusals = isUnauthorized ? refusals + 1 : 0;
      const isDue = refusals >= suspiciousRefusals && bootTimeMs() - askedAtMs > askAgainMs;
      return isDue ? ask(identity, end) : end;
    },
  };
}
