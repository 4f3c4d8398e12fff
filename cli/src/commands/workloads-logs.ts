import { streamOptions } from "../client.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { createLogPrinter } from "../log-printer.ts";
import { followLines, readLines } from "../log-reader.ts";
import { parseInteger } from "../requirements.ts";

export const workloadsLogs = defineCommand({
  path: ["workloads", "logs"],
  summary: "Shows the log of a workload",
  arguments: { workload: { kind: "required", help: "the workload: id, name or start of an id" } },
  options: {
    follow: { kind: "flag", short: "f", help: "go on with what comes, until the log ends" },
    tail: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("tail", 1, 100_000),
      help: "only the last so many lines",
    },
    fromLine: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("line", 0, Number.MAX_SAFE_INTEGER),
      help: "only from this line on; the first is 0",
    },
    limit: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("limit", 1, Number.MAX_SAFE_INTEGER),
      help: "at most so many lines (default: all)",
    },
    timestamps: { kind: "flag", help: "put the time before each line" },
    raw: { kind: "flag", help: "the very bytes of the workload; not to a terminal" },
  },
  examples: [
    "agynctl workloads logs --follow nightly",
    "agynctl workloads logs wkl_k3 --tail 100 --timestamps",
    "agynctl workloads logs wkl_k3 --raw > build.log",
  ],
  async run(context, { workload }, { follow, tail, fromLine, limit, timestamps, raw }) {
    const { terminal, organization } = context;
    if (tail !== undefined && fromLine !== undefined) throw new UsageError("--tail and --from-line exclude each other");
    if (raw && (terminal.stdout.isTTY === true || terminal.stderr.isTTY === true)) {
      throw new UsageError(
        "--raw could let the log drive the terminal: send both outputs to files or pipes, such as > build.log 2>&1",
      );
    }
    const { logs } = await context.controlPlane();
    const printer = createLogPrinter(terminal, { format: context.output.format, hasTimes: timestamps, isRaw: raw });
    const range = { workload, organization, tail, fromLine };
    const lines = follow ? followLines(context, logs, range, streamOptions) : readLines(logs, range);
    let left = limit ?? Number.POSITIVE_INFINITY;
    for await (const line of lines) {
      await printer.print(line);
      left -= 1;
      if (left <= 0) break;
    }
    await printer.end();
    return undefined;
  },
});
