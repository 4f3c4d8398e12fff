import type { Logger } from "pino";
import type { ServiceToken } from "../../wire/service-token.ts";
import { rootPinOf } from "./identity-keys.ts";
import { backoffMs, jitteredMs, pause } from "./backoff.ts";
import { enroll, renewExpired, type EnrollmentDeps } from "./enroll.ts";
import { FatalError } from "./fatal-error.ts";
import type { IdentityFile, StoredIdentity } from "./identity-store.ts";
import { courseAfter, type Course } from "./refusal-course.ts";
import { refusalOf, type Refusal } from "./refusal.ts";

/** How long to wait for another process of this runner where the control plane does not say. */
const liveSessionWaitMs = 5_000;
/** How often it is said that the runner still waits. */
const waitNoticeMs = 60_000;

export type ObtainDeps = EnrollmentDeps & { token: ServiceToken | undefined; log: Logger };

/** An identity that is good now: the kept one, renewed if it has expired, or a new one. Throws a `FatalError`; `undefined` once `signal` aborts. */
export async function obtainIdentity(deps: ObtainDeps): Promise<StoredIdentity | undefined> {
  const progress = { failures: 0, noticeMs: 0 };
  while (!deps.signal.aborted) {
    const kept = loadKept(deps);
    const identity = kept?.identity;
    if (identity !== undefined && identity.expireTimeMs > Date.now()) return identity;
    try {
      return await tryOnce(deps, kept);
    } catch (error) {
      if (error instanceof FatalError) throw error;
      if (deps.signal.aborted) return undefined;
      await recover(deps, { refusal: refusalOf(error), isExpired: identity !== undefined, progress });
    }
  }
  return undefined;
}

function loadKept({ store, token }: ObtainDeps): IdentityFile | undefined {
  const kept = store.load();
  if (kept === undefined || token === undefined || kept.runnerId === token.runnerId) return kept;
  const text = `the data directory is of runner ${kept.runnerId}, the service token of ${token.runnerId}`;
  throw new FatalError("usage", `${text}: use a directory for each runner`);
}

async function tryOnce(deps: ObtainDeps, kept: IdentityFile | undefined): Promise<StoredIdentity> {
  const { token, log } = deps;
  if (kept?.identity !== undefined) {
    const expired = kept.identity;
    const renewed = await renewExpired(deps, { runnerId: kept.runnerId, expired, rootPin: rootPinOf(expired) });
    log.info({ runner_id: kept.runnerId, identity_id: renewed.identityId }, "expired identity renewed");
    return renewed;
  }
  if (token === undefined) {
    throw new FatalError("usage", "this runner has no identity yet: a service token is needed (--token-file)");
  }
  const identity = await enroll(deps, token);
  const { identityId, uri } = identity;
  log.info({ runner_id: token.runnerId, identity_id: identityId, identity_uri: uri }, "runner enrolled");
  return identity;
}

type Recovery = { refusal: Refusal; isExpired: boolean; progress: { failures: number; noticeMs: number } };

async function recover(deps: ObtainDeps, { refusal, isExpired, progress }: Recovery): Promise<void> {
  const { log, signal } = deps;
  const course = courseOf(courseAfter(refusal, "hello"), isExpired && deps.token !== undefined, refusal);
  progress.failures += 1;
  switch (course.kind) {
    case "wait": {
      if (Date.now() - progress.noticeMs > waitNoticeMs) {
        progress.noticeMs = Date.now();
        log.warn("another process of this runner is connected; this one waits until it is gone");
      }
      await pause(jitteredMs(refusal.retryAfterMs ?? liveSessionWaitMs, Math.random()), signal);
      return;
    }
    case "give_up":
      throw new FatalError("refused", course.message);
    case "enroll_anew":
      giveUpIdentity(deps, refusal);
      break;
    case "renew_expired":
    case "again": {
      const waitMs = Math.max(refusal.retryAfterMs ?? 0, backoffMs(progress.failures, Math.random()));
      log.warn({ reason: refusal.reason, error: refusal.message, retry_ms: waitMs }, "enrollment failed");
      await pause(waitMs, signal);
      return;
    }
  }
  await pause(backoffMs(progress.failures, Math.random()), signal);
}

/** An expired identity that is refused for itself is replaced where there is a token. */
function courseOf(course: Course, canEnrollAnew: boolean, { reason }: Refusal): Course {
  const isAboutIdentity =
    reason === "IDENTITY_EXPIRED" || reason === "PERMISSION_DENIED" || reason === "UNAUTHENTICATED";
  if (canEnrollAnew && isAboutIdentity) return { kind: "enroll_anew" };
  if (course.kind === "renew_expired" && !canEnrollAnew) {
    const message = "the identity of this runner expired too long ago: start it with its service token";
    return { kind: "give_up", message };
  }
  return course;
}

/** Discards the identity so that the next try enrolls with a new key. Throws a `FatalError` where there is no token. */
export function giveUpIdentity({ store, token, log }: ObtainDeps, { reason }: Pick<Refusal, "reason">): void {
  if (token === undefined) {
    const text = reason === "IDENTITY_REVOKED" ? "was revoked" : "was superseded by a later enrollment";
    throw new FatalError(
      "refused",
      `the identity of this runner ${text}: start it with its service token to enroll anew`,
    );
  }
  log.warn({ reason }, "identity discarded");
  store.discard();
}
