import type { CallOptions, Client } from "@connectrpc/connect";
import type { LogLine, LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import type { Context } from "./context.ts";
import { resumeStream } from "./resume.ts";

export interface LogRange {
  /** A reference. */
  readonly workload: string;
  readonly organization: string;
  /** Only the last so many lines. */
  readonly tail: number | undefined;
  /** Only from this line on. */
  readonly fromLine: number | undefined;
}

type Logs = Client<typeof LogsService>;
const linesPerCall = 1000;

/** The lines that are there now. */
export async function* readLines(logs: Logs, range: LogRange): AsyncGenerator<LogLine, void> {
  const { workload, organization } = range;
  let from = start(range);
  for (;;) {
    const { lines, nextLine, ended } = await logs.readLog({
      workload,
      organization,
      from,
      limit: from.case === "tail" ? from.value : linesPerCall,
    });
    yield* lines;
    const isStuck = from.case === "fromLine" && nextLine <= from.value;
    if (ended || isStuck || lines.length === 0) return;
    from = { case: "fromLine", value: nextLine };
  }
}

/** The lines that are there and those that come: each once, in order, over broken connections too. */
export async function* followLines(
  context: Context,
  logs: Logs,
  range: LogRange,
  options: CallOptions,
): AsyncGenerator<LogLine, void> {
  const { workload, organization } = range;
  let from = start(range);
  for await (const { lines, nextLine } of resumeStream(context, () =>
    logs.followLog({ workload, organization, from }, options),
  )) {
    const first = from.case === "fromLine" ? from.value : 0n;
    for (const line of lines) if (line.number >= first) yield line;
    if (from.case === "tail" || nextLine > from.value) from = { case: "fromLine", value: nextLine };
  }
}

type Start = { case: "tail"; value: number } | { case: "fromLine"; value: bigint };

function start({ tail, fromLine }: LogRange): Start {
  return tail === undefined ? { case: "fromLine", value: BigInt(fromLine ?? 0) } : { case: "tail", value: tail };
}
