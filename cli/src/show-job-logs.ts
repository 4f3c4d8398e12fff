import type { Job } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import type { Context } from "./context.ts";
import { createJobLogs } from "./job-logs.ts";
import { createLogPrinter } from "./log-printer.ts";
import { readLines } from "./log-reader.ts";

/** The logs of jobs one after the other, of each its last try; the only one as it is, several behind the jobs' names. */
export async function showJobLogs(
  context: Context,
  jobs: readonly Job[],
  tail: number | undefined,
): Promise<undefined> {
  const { terminal, output } = context;
  const { logs } = await context.controlPlane();
  const format = output.format === "wide" ? "table" : output.format;
  const begun = jobs.filter(({ workloadId }) => workloadId !== "");
  const open = createJobLogs(terminal, { names: begun.map(({ name }) => name), format });
  const isPlain = jobs.length === 1 && format === "table";
  for (const job of begun) {
    const log = isPlain ? createLogPrinter(terminal, { format, hasTimes: false, isRaw: false }) : open(job.name);
    const range = { workload: job.workloadId, organization: job.organizationId, tail, fromLine: undefined };
    for await (const line of readLines(logs, range)) await log.print(line);
    await log.end();
    const earlier = job.workloadIds.filter((id) => id !== job.workloadId);
    if (earlier.length > 0)
      await output.note(
        `${job.name}: this is its last try; the earlier ones: agynctl workloads logs ${earlier.join(" or ")}`,
        "dim",
      );
  }
  if (begun.length === 0) await output.note("no job has started yet", "dim");
}
