import type { ConnectRouter } from "@connectrpc/connect";
import type { Logger } from "pino";
import { WebhooksService } from "../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { createWebhooksService } from "./api/webhooks-service.ts";
import type { Config } from "./config.ts";
import { createWebhookQueuer } from "./loops/queue-webhooks.ts";
import { createWebhookSender } from "./loops/send-webhooks.ts";
import { onceSignalled, type openPlacing } from "./open-placing.ts";
import type { OnClose } from "./closing.ts";
import type { State } from "./open-state.ts";
import { sendRequest } from "./outgoing/safe-request.ts";

export type WebhooksOptions = {
  config: Config;
  log: Logger;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  onClose: OnClose;
};

const requestTimeout_ms = 10_000;

/** What tells others of events: a loop that queues what happened, and one that sends. */
export function openWebhooks({ config, log, state, placing, onClose }: WebhooksOptions) {
  const { sql, masterKey } = state;
  const { notifications, runLoop } = placing;
  const { outgoingPrivate: allowPrivate, webhookRetry_ms, webhookDisableAfter_ms } = config;
  const sender = createWebhookSender({
    ...{ sql, masterKey, log },
    policy: { firstRetry_ms: webhookRetry_ms, disableAfter_ms: webhookDisableAfter_ms, random: Math.random },
    send: (request) => sendRequest(request, { allowPrivate, timeout_ms: requestTimeout_ms }),
    signal: () => send.signal(),
  });
  onClose("webhooks", () => sender.stop(config.shutdownGrace_ms));
  const send = runLoop("send-webhooks", config.loopPeriod_ms, () => sender.run());
  const onChanged = () => {
    send.signal();
    notifications.send("webhooks");
  };
  const queueing = createWebhookQueuer({ sql, onQueued: onChanged, again: () => queue.signal() });
  const queue = runLoop("queue-webhooks", config.loopPeriod_ms, queueing);
  notifications.on("webhooks", onceSignalled(send));
  return {
    routes(router: ConnectRouter) {
      router.service(WebhooksService, createWebhooksService({ sql, masterKey, allowPrivate, onChanged }));
    },
  };
}
