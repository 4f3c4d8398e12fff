import type { Logger } from "pino";
import type { Workloads } from "./workloads.ts";

/** After the last workload ended, the time for its log and result to arrive before the runner leaves. */
const deliveryTimeoutMs = 5_000;
/** Between SIGTERM and SIGKILL of what a stopping runner ends. */
const stoppingGraceMs = 3_000;

/** The ways in which a runner comes to its end. */
export type Departure = {
  /** Aborts when the runner is to say goodbye; its reason is what is said. */
  readonly leaving: AbortSignal;
  /** Aborts when the runner is to end at once. */
  readonly abandoned: AbortSignal;
  /** Takes nothing new, waits up to `timeoutMs` for what it has, ends the rest, and leaves. */
  stop(timeoutMs: number): Promise<void>;
  /** Waits for what it has, however long that takes, and leaves; the control plane sends nothing new meanwhile. */
  drain(): Promise<void>;
  abandon(): void;
  /** Ends at once what nobody could adopt any more. */
  endAll(): Promise<void>;
};

/** Of a runner with these workloads; nothing happens until one of its methods is called. */
export function createDeparture({ workloads, log }: { workloads: Workloads; log: Logger }): Departure {
  const abandoned = new AbortController();
  const leaving = new AbortController();
  const stopping = new AbortController();
  const isIdle = (): boolean => workloads.liveCount === 0;
  const isDelivered = (): boolean => workloads.heldCount === 0;
  const within = (timeoutMs: number): AbortSignal =>
    AbortSignal.any([abandoned.signal, AbortSignal.timeout(Math.max(0, timeoutMs))]);

  return {
    leaving: leaving.signal,
    abandoned: abandoned.signal,
    abandon: () => abandoned.abort(),
    async stop(timeoutMs) {
      if (stopping.signal.aborted) return;
      stopping.abort();
      workloads.refuseAll("this runner is stopping");
      const live = { live_workloads: workloads.liveCount, timeout_ms: timeoutMs };
      if (!isIdle()) log.info(live, "runner waits for its workloads");
      await workloads.until(isIdle, within(timeoutMs));
      if (abandoned.signal.aborted) return;
      workloads.stopAll({ cause: "runner_stopped", graceMs: stoppingGraceMs, reason: "runner stopped" });
      await workloads.until(isIdle, within(stoppingGraceMs * 2));
      await workloads.until(isDelivered, within(deliveryTimeoutMs));
      leaving.abort("the runner was stopped");
    },
    async endAll() {
      workloads.stopAll({ cause: "runner_stopped", graceMs: 0, reason: "runner stopped" });
      await workloads.until(isIdle, AbortSignal.timeout(stoppingGraceMs));
    },
    async drain() {
      log.info({ live_workloads: workloads.liveCount }, "runner is draining");
      const isOver = AbortSignal.any([abandoned.signal, stopping.signal]);
      if (await workloads.until(isDelivered, isOver)) leaving.abort("the runner was drained");
    },
  };
}
