import { createClient, type Transport } from "@connectrpc/connect";
import type { Logger } from "pino";
import { LogsService, type PushRequest } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { abortLater, backoffMs, pause } from "./backoff.ts";
import type { Logs } from "./logs.ts";
import { refusalOf } from "./refusal.ts";

/** What is written within so many ms goes out together. */
const lingerMs = 5;

/** Pushes logs over a connection until `signal` aborts; the stream is opened when there is something to send. */
export async function pushLogs(deps: {
  transport: Transport;
  logs: Logs;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { transport, logs, log, signal } = deps;
  const client = createClient(LogsService, transport);
  let failures = 0;
  while (!signal.aborted) {
    logs.restart();
    await logs.ready(signal);
    if (signal.aborted) return;
    const call = abortLater(signal);
    const ended = AbortSignal.any([signal, call.signal]);
    try {
      for await (const { positions } of client.push(requests(logs, ended), { signal: call.signal })) {
        failures = 0;
        logs.settle(positions);
      }
    } catch (error) {
      if (signal.aborted) return;
      const { reason, message } = refusalOf(error);
      log.warn({ reason, error: message }, "log stream failed");
    } finally {
      call.abort();
    }
    failures += 1;
    await pause(backoffMs(failures, Math.random()), signal);
  }
}

async function* requests(logs: Logs, signal: AbortSignal): AsyncGenerator<PushRequest> {
  while (!signal.aborted) {
    await logs.ready(signal);
    await pause(lingerMs, signal);
    // What is taken now would be sent nowhere.
    if (signal.aborted) return;
    for (let request = logs.nextRequest(); request !== undefined; request = logs.nextRequest()) {
      yield request;
      if (signal.aborted) return;
    }
  }
}
