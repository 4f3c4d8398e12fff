import { metricsKept_ms } from "./api/metrics-service.ts";
import type { Config } from "./config.ts";
import { createSweep } from "./loops/sweep.ts";
import type { openPlacing } from "./open-placing.ts";
import type { State } from "./open-state.ts";

export type UpkeepOptions = {
  config: Config;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
};

const sweepPeriod_ms = 10 * 60_000;
const day_ms = 86_400_000;

/** What keeps the store in order: old records and logs are swept, and logs are sealed where another replica asks for it. */
export function openUpkeep({ config, state, placing }: UpkeepOptions): void {
  const { sql, logStore, notifications, sealRequests } = state;
  const { placer, meters, runLoop } = placing;
  const answerSeals = runLoop("answer-seals", config.loopPeriod_ms, () =>
    sealRequests.answer((key) => logStore.sealLog(key)),
  );
  notifications.on("seals", () => answerSeals.signal());
  const sweep = createSweep({
    sql,
    keep: {
      workloads_ms: config.workloadRetention_ms,
      runs_ms: config.runRetention_ms,
      audit_ms: config.auditRetention_ms,
      deliveries_ms: config.deliveryRetention_ms,
      idempotencyKeys_ms: day_ms,
      metrics_ms: metricsKept_ms,
      generations_ms: config.expiredRenewal_ms,
      revocations_ms: day_ms,
    },
    leads: () => placer.leads,
    deleteLogs: (workloadId) => logStore.delete(workloadId),
    onSwept: (kind, count) => meters.swept.add(count, kind),
  });
  const sweeping = runLoop("sweep", sweepPeriod_ms, async () => {
    if (await sweep()) sweeping.signal();
  });
  placing.onLeading(() => sweeping.signal());
}
