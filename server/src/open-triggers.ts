import type { ConnectRouter } from "@connectrpc/connect";
import type { Logger } from "pino";
import { TriggersService } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createTriggerAuthenticator } from "./api/authenticate-trigger.ts";
import { createTriggersService } from "./api/triggers-service.ts";
import { createHooks } from "./api/hooks.ts";
import type { Config } from "./config.ts";
import { createAttemptLimiter } from "./identity/attempt-limiter.ts";
import { createScheduleFirer } from "./loops/fire-schedules.ts";
import { createReportSender } from "./loops/send-reports.ts";
import { sendRequest } from "./outgoing/safe-request.ts";
import { createDeliveryWorker } from "./loops/work-deliveries.ts";
import type { openPlacing } from "./open-placing.ts";
import { onceSignalled } from "./open-placing.ts";
import type { openRuns } from "./open-runs.ts";
import type { OnClose } from "./closing.ts";
import type { State } from "./open-state.ts";
import { acceptWebhook, findWebhook } from "./triggers/accept-webhook.ts";

export type TriggersOptions = {
  config: Config;
  log: Logger;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  running: Awaited<ReturnType<typeof openRuns>>;
  onClose: OnClose;
};

/** Refusals of one trigger that its log takes at once, and then each second: its address is known to others than its sender. */
const refusalBurst = 100;
const refusalsPerSecond = 0.1;
const reportTimeout_ms = 10_000;

/** What starts runs without a person: hooks, schedules, and the loop that works what came. */
export function openTriggers({ config, log, state, placing, running, onClose }: TriggersOptions) {
  const { sql, masterKey } = state;
  const { notifications, placer, runLoop } = placing;
  const workDeps = { ...running.startDeps, cancelRun: running.cancelRun };
  const signal = () => {
    work.signal();
    notifications.send("deliveries");
  };
  const worker = createDeliveryWorker({ ...workDeps, log, signal: () => work.signal() });
  onClose("deliveries", () => worker.stop(config.shutdownGrace_ms));
  const work = runLoop("work-deliveries", config.loopPeriod_ms, () => worker.run());
  const fire = runLoop(
    "fire-schedules",
    config.loopPeriod_ms,
    createScheduleFirer({ sql, leads: () => placer.leads, now: () => new Date(), onFired: signal }),
  );
  const reporter = createReportSender({
    ...{ sql, masterKey, log },
    send: (request) => sendRequest(request, { allowPrivate: config.outgoingPrivate, timeout_ms: reportTimeout_ms }),
    signal: () => reports.signal(),
  });
  onClose("reports", () => reporter.stop(config.shutdownGrace_ms));
  const reports = runLoop("send-reports", config.loopPeriod_ms, () => reporter.run());
  notifications.on("deliveries", onceSignalled(work));
  const refusals = createAttemptLimiter(refusalBurst, refusalsPerSecond);
  const acceptDeps = {
    sql,
    masterKey,
    mayLog: (triggerId: string) => refusals.take(triggerId) === 0,
    onAccepted: signal,
  };
  return {
    authenticate: createTriggerAuthenticator(sql),
    routes(router: ConnectRouter) {
      const onChanged = () => {
        fire.signal();
        signal();
      };
      router.service(TriggersService, createTriggersService({ ...workDeps, onChanged }));
    },
    hooks: createHooks({
      log,
      limit_bytes: config.hookBody_bytes,
      find: (id) => findWebhook(sql, id),
      accept: (trigger, request) => acceptWebhook(acceptDeps, trigger, request),
    }),
  };
}
