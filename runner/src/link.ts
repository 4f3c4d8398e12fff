/**
 * Keeps a session with the control plane: obtains an identity, dials, serves, renews, dials again. Ends only when it is
 * told to, or with a `FatalError`.
 */
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { OverlayError } from "../../overlay/errors.ts";
import { backoffMs, jitteredMs, longestTimerMs, pause } from "./backoff.ts";
import { openConnection, type Connection } from "./connection.ts";
import { readEndpoints } from "./endpoints.ts";
import { askEndpoints } from "./enroll.ts";
import { FatalError } from "./fatal-error.ts";
import { rootPinOf } from "./identity-keys.ts";
import type { HostedService } from "./hosted-service.ts";
import type { RunnerEndpoint, StoredIdentity } from "./identity-store.ts";
import { pushLogs } from "./log-push.ts";
import type { Logs } from "./logs.ts";
import { pushMetrics } from "./metrics-push.ts";
import { giveUpIdentity, obtainIdentity, type ObtainDeps } from "./obtain-identity.ts";
import { courseAfter, type Refused } from "./refusal-course.ts";
import { messageOf, refusalOf } from "./refusal.ts";
import { createLoginDoubt, type FailedDial, type Failure } from "./refused-login.ts";
import { renewIdentity, renewInMs } from "./renew.ts";
import type { RunnerOverlay } from "./runner-overlay.ts";
import { Session, type SessionDeps, type SessionEnd, type SessionTerms } from "./session.ts";
import type { TransportGate } from "./transport-gate.ts";
import type { Tunnels } from "./tunnels.ts";
import type { Workloads } from "./workloads.ts";

/** A session that stood for so long wipes out the failures before it. */
const goodSessionMs = 10_000;

export type LinkDeps = ObtainDeps & {
  overlay: RunnerOverlay;
  /** To be dialed instead of what the control plane names. */
  runnerPlane: RunnerEndpoint | undefined;
  hello: () => Omit<SessionDeps["hello"], "hostsService">;
  workloads: Workloads;
  logs: Logs;
  tunnels: Tunnels;
  hostedService: HostedService;
  gate: TransportGate;
  onContact: SessionDeps["onContact"];
  onDrain: () => void;
  /** May refuse the terms by throwing a `FatalError`. */
  onWelcome: (terms: SessionTerms) => void;
  /** Aborts when the runner is to say goodbye; its reason is what is said. */
  leaving: AbortSignal;
  log: Logger;
};

type Live = {
  identity: StoredIdentity;
  connection: Connection;
  session: Session;
  terms: SessionTerms;
  renewNow: AbortController;
};

/** Resolves once the runner has left. */
export async function keepLink(deps: LinkDeps): Promise<void> {
  const { signal, leaving, log } = deps;
  const stopped = AbortSignal.any([signal, leaving]);
  const doubt = createLoginDoubt({ ...deps, signal: stopped });
  let failures = 0;
  while (!stopped.aborted) {
    const identity = await obtainIdentity({ ...deps, signal: stopped });
    if (identity === undefined) return;
    const opened = await openLive(deps, identity);
    if (stopped.aborted && opened.kind !== "live") return;

    const startMs = Date.now();
    const end = opened.kind === "live" ? await serve(deps, opened.live) : await doubt.explain(identity, opened);
    if (end.kind === "left") return;
    if (opened.kind === "live" && Date.now() - startMs > goodSessionMs) failures = 0;
    failures += 1;

    const askedMs = settleRefusal(deps, end, opened.kind === "live" ? "session" : "hello");
    const waitMs = askedMs === undefined ? backoffMs(failures, Math.random()) : jitteredMs(askedMs, Math.random());
    const reason = end.kind === "refused" ? end.reason : undefined;
    log.warn({ reason, error: end.message, retry_ms: waitMs }, "no session with the control plane");
    await pause(waitMs, stopped);
  }
}

/** What follows from the end of a session beside dialing again; answers how long to wait where that was said. */
function settleRefusal(deps: LinkDeps, end: Failure, refused: Refused): number | undefined {
  if (end.kind === "broken") {
    // The control plane's clock counts, and its last words are all that says so before there is a session.
    if (/certificate expired|CERT_HAS_EXPIRED/.test(end.message)) markExpired(deps);
    return undefined;
  }
  const course = courseAfter(end, refused);
  switch (course.kind) {
    case "give_up":
      throw new FatalError("refused", course.message);
    case "enroll_anew":
      giveUpIdentity(deps, end);
      return undefined;
    case "renew_expired":
      markExpired(deps);
      return undefined;
    case "wait":
    case "again":
      if (end.isFinal && end.reason !== "IDENTITY_SUPERSEDED") {
        throw new FatalError("refused", `the control plane ended the session for good: ${end.message}`);
      }
      return end.retryAfterMs;
  }
}

/** The control plane's clock counts: makes the next try renew. */
function markExpired({ store }: LinkDeps): void {
  const kept = store.load();
  if (kept?.identity !== undefined) store.save({ ...kept, identity: { ...kept.identity, expireTimeMs: 0 } });
}

type Opened = { kind: "live"; live: Live } | ({ kind: "failed" } & FailedDial);

/** Dials and says hello; `before` is the session that this one is to succeed. */
async function openLive(deps: LinkDeps, identity: StoredIdentity, before?: Session): Promise<Opened> {
  const { overlay, signal, workloads, store, onContact, onDrain, log } = deps;
  const dialed = deps.runnerPlane === undefined ? identity : { ...identity, endpoints: [deps.runnerPlane] };
  let connection: Awaited<ReturnType<typeof openConnection>>;
  try {
    connection = await openConnection({ overlay, identity: dialed, signal });
  } catch (error) {
    await learnEndpoints(deps, identity);
    const isUnauthorized = error instanceof OverlayError && error.reason === "unauthorized";
    return { kind: "failed", end: { kind: "broken", message: messageOf(error) }, isUnauthorized };
  }
  const renewNow = new AbortController();
  const hello = deps.hello();
  const { endpoint } = connection;
  const hostsService = hello.tunnels && endpoint.kind === "openziti";
  before?.succeed();
  const session = new Session({
    transport: connection.transport,
    hello: { ...hello, hostsService },
    workloads,
    keepNumber: (number) => store.saveSessionNumber(number),
    onContact,
    onDrain,
    onRenew: () => renewNow.abort(),
    onConnect: ({ tunnelId, endpoints }) => {
      const elsewhere = { ...identity, endpoints: readEndpoints(endpoints) };
      const dial = async () => {
        if (elsewhere.endpoints.length > 0) return openConnection({ overlay, identity: elsewhere, signal });
        return { transport: connection.transport, close: () => undefined };
      };
      void deps.tunnels.open(tunnelId, dial);
    },
    log,
  });
  const giveUp = (): void => session.close();
  signal.addEventListener("abort", giveUp, { once: true });
  void session.ended.then(() => signal.removeEventListener("abort", giveUp));

  const terms = await session.welcomed;
  if (terms === undefined) {
    const end = withLastWords(await session.ended, connection);
    connection.close();
    const failure: Failure = end.kind === "left" ? { kind: "broken", message: "the runner is stopping" } : end;
    return { kind: "failed", end: failure, isUnauthorized: false };
  }
  keepEndpoints(deps, terms.endpoints);
  if (hostsService && terms.service !== "") deps.hostedService.host({ endpoint, service: terms.service, identity });
  const { runnerName, sessionNumber } = terms;
  log.info({ runner_name: runnerName, session_number: String(sessionNumber) }, "session established");
  return { kind: "live", live: { identity, connection, session, terms, renewNow } };
}

/** A connection that is cut may have been told why: by a reason, or in words. */
function withLastWords(end: SessionEnd, { lastWords }: Connection): SessionEnd {
  if (end.kind !== "broken" || lastWords === undefined) return end;
  if (!/^[A-Z][A-Z_]+$/.test(lastWords)) return { kind: "broken", message: lastWords };
  return { kind: "refused", reason: lastWords, message: end.message, retryAfterMs: undefined, isFinal: false };
}

/** Where to dial next time, as the control plane said last. */
function keepEndpoints({ store }: LinkDeps, endpoints: readonly RunnerEndpoint[]): void {
  const kept = store.load();
  if (kept?.identity === undefined || endpoints.length === 0) return;
  if (isDeepStrictEqual(kept.identity.endpoints, endpoints)) return;
  store.save({ ...kept, identity: { ...kept.identity, endpoints: [...endpoints] } });
}

/** Where nothing answers: the runner plane may have moved, which the gateway knows. That it does not answer either is no news. */
async function learnEndpoints(deps: LinkDeps, identity: StoredIdentity): Promise<void> {
  const runnerId = deps.store.load()?.runnerId;
  if (runnerId === undefined || deps.signal.aborted) return;
  try {
    keepEndpoints(deps, await askEndpoints(deps, { runnerId, identity, rootPin: rootPinOf(identity) }));
  } catch (error) {
    deps.log.debug({ error: messageOf(error) }, "the gateway did not say where the runner plane is");
  }
}

async function serve(deps: LinkDeps, first: Live): Promise<SessionEnd> {
  let live = first;
  for (;;) {
    const current: Live = live;
    const streams = new AbortController();
    const pushed = push(deps, current, streams.signal);
    let isOrderly = false;
    try {
      deps.onWelcome(current.terms);
      const next = await untilNext(deps, current);
      isOrderly = next.kind === "replaced" || next.end.kind === "left";
      if (next.kind === "ended") return next.end;
      live = next.live;
    } finally {
      streams.abort();
      if (!isOrderly) current.connection.close();
      await pushed;
      current.session.close();
      current.connection.close();
    }
  }
}

/** The end of a session, or the session that takes its place after a renewal. */
async function untilNext(
  deps: LinkDeps,
  live: Live,
): Promise<{ kind: "ended"; end: SessionEnd } | { kind: "replaced"; live: Live }> {
  const { session } = live;
  let failures = 0;
  let waitMs = renewInMs(live.identity, Date.now(), Math.random());
  for (;;) {
    const event = await nextEvent(deps, live, waitMs);
    if (event === "ended") return { kind: "ended", end: withLastWords(await session.ended, live.connection) };
    if (event === "leaving") {
      await session.leave(String(deps.leaving.reason));
      return { kind: "ended", end: { kind: "left" } };
    }
    const replaced = await renewAndRedial(deps, live);
    if (replaced !== undefined) return { kind: "replaced", live: replaced };
    failures += 1;
    live.renewNow = new AbortController();
    waitMs = backoffMs(failures, Math.random());
  }
}

async function nextEvent(deps: LinkDeps, live: Live, renewMs: number): Promise<"ended" | "leaving" | "renew"> {
  const { promise, resolve } = Promise.withResolvers<"ended" | "leaving" | "renew">();
  const timer = setTimeout(() => resolve("renew"), Math.min(renewMs, longestTimerMs));
  const onLeaving = (): void => resolve("leaving");
  const onRenew = (): void => resolve("renew");
  if (deps.leaving.aborted) onLeaving();
  deps.leaving.addEventListener("abort", onLeaving, { once: true });
  live.renewNow.signal.addEventListener("abort", onRenew, { once: true });
  void live.session.ended.then(() => resolve("ended"));
  const event = await promise;
  clearTimeout(timer);
  deps.leaving.removeEventListener("abort", onLeaving);
  live.renewNow.signal.removeEventListener("abort", onRenew);
  return event;
}

async function renewAndRedial(deps: LinkDeps, live: Live): Promise<Live | undefined> {
  const { store, signal, log } = deps;
  try {
    const kept = store.load()?.identity;
    const isAhead = kept !== undefined && kept.chainPem !== live.identity.chainPem;
    const identity = isAhead ? kept : await renewIdentity({ transport: live.connection.transport, store, signal });
    const opened = await openLive(deps, identity, live.session);
    if (opened.kind === "live") {
      log.info({ identity_id: identity.identityId, generation: identity.generation }, "identity renewed");
      return opened.live;
    }
    live.session.carryOn();
    log.warn({ error: opened.end.message }, "dialing with the renewed identity failed");
  } catch (error) {
    const { reason, message } = refusalOf(error);
    log.warn({ reason, error: message }, "identity could not be renewed");
  }
  return undefined;
}

/** The other streams of a session, until `signal` aborts. */
async function push({ logs, workloads, gate, log }: LinkDeps, live: Live, signal: AbortSignal): Promise<void> {
  const { transport } = live.connection;
  const liveWorkloads = (): number => workloads.liveCount;
  const intervalMs = live.terms.metricsIntervalMs;
  await Promise.all([
    gate.open(transport, signal),
    pushLogs({ transport, logs, log, signal }),
    pushMetrics({ transport, intervalMs, liveWorkloads, log, signal }),
  ]);
}
