import { Buffer } from "node:buffer";
import type { Logger } from "pino";
import type { Sink } from "./executors/executor.ts";
import type { Logs } from "./logs.ts";
import { messageOf } from "./refusal.ts";

/** Where the output of one execution goes: into its spool before anything else. */
export function createSink(
  of: { workloadId: string; fence: bigint },
  deps: { logs: Logs; log: Logger; onStarted: (startTimeMs: number) => void },
): Sink {
  const { logs, log, onStarted } = deps;
  const append = (stream: "stdout" | "stderr" | "system", bytes: Uint8Array): undefined => {
    try {
      logs.append(of, stream, bytes);
    } catch (error) {
      log.error({ workload_id: of.workloadId, error: messageOf(error) }, "output could not be spooled");
    }
  };
  return {
    output: append,
    position: (stream) => logs.position(of, stream),
    system(text) {
      append("system", Buffer.from(text.endsWith("\n") ? text : `${text}\n`));
    },
    started: ({ startTime }) => onStarted(startTime.getTime()),
  };
}
