import { JobStateSchema, RunStateSchema, type Job, type Run } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { until, type Clients } from "./world.ts";

/** Starts a run of a pipeline's text, without a project. */
export async function startRun(clients: Clients, text: string, inputs: Record<string, string> = {}): Promise<Run> {
  const { run } = await clients.runs.startRun({ pipeline: "pipeline.yaml", content: Buffer.from(text), inputs });
  return run!;
}

/** Waits for the end of a run's last attempt. */
export async function untilRunEnded(clients: Clients, id: string, timeout_ms = 90_000): Promise<Run> {
  let run: Run | undefined;
  const hasEnded = async () => {
    ({ run } = await clients.runs.getRun({ run: id }));
    return run!.endTime !== undefined;
  };
  await until("the run has ended", hasEnded, timeout_ms);
  return run!;
}

/** The jobs of a run by name. */
export async function jobsOf(clients: Clients, run: string, attempt = 0): Promise<Record<string, Job>> {
  const { jobs } = await clients.runs.listJobs({ run, attempt, pageSize: 1000 });
  return Object.fromEntries(jobs.map((job) => [job.name, job]));
}

/** What state a job is in, in words. */
export const stateName = (job: Job | undefined): string => JobStateSchema.value[job?.state ?? 0]!.localName;
export const runStateName = (run: Run): string => RunStateSchema.value[run.state]!.localName;
