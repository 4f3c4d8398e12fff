import { setTimeout as delay } from "node:timers/promises";
import type { LogLine } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { streamOptions } from "./client.ts";
import type { Context } from "./context.ts";
import { followLines } from "./log-reader.ts";

/** After the workload has ended, its log is waited for until no line has come for this long. */
const logQuietMs = 10_000;
const pollMs = 250;

/** Follows the log of one workload beside whatever else is watched. */
export interface LogTask {
  start(): void;
  /** Waits for the end of the log of a workload that has ended, or until it has been quiet for long. */
  finish(): Promise<void>;
  /** Settled once nothing more is read, whatever came of it. */
  readonly ended: Promise<void>;
}

interface Followed {
  readonly id: string;
  readonly organizationId: string;
  /** Only the last so many lines of those that are there. */
  readonly tail?: number | undefined;
}

/** The log of a workload, each line handed to `print` in order; nothing is read before `start`. */
export function createLogTask(
  context: Context,
  { id, organizationId, tail }: Followed,
  print: (line: LogLine) => Promise<void>,
): LogTask {
  let task: Promise<void> | undefined;
  let isDone = false;
  const ended = Promise.withResolvers<void>();
  let lastLineMs = 0;
  const stop = new AbortController();

  async function follow(): Promise<void> {
    const { logs } = await context.controlPlane();
    const range = { workload: id, organization: organizationId, tail, fromLine: undefined };
    for await (const line of followLines(context, logs, range, { ...streamOptions, signal: stop.signal })) {
      lastLineMs = performance.now();
      await print(line);
    }
  }

  return {
    ended: ended.promise,
    start() {
      task ??= follow().finally(() => {
        isDone = true;
        ended.resolve();
      });
      // `finish` takes the failure; until then it must not count as unhandled.
      task.catch(() => undefined);
    },
    async finish() {
      if (task === undefined) return;
      lastLineMs = performance.now();
      while (!isDone && performance.now() - lastLineMs < logQuietMs) await Promise.race([task, delay(pollMs)]);
      if (isDone) return task;
      stop.abort();
      await context.output.note("the log has not ended: the rest is in agynctl workloads logs", "dim");
    },
  };
}
