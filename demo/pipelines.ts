import { mkdirSync, chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { JobState, JobStateSchema, RunState, type Job, type Run } from "../proto/gen/agyn/runs/v1/run_pb.ts";
import type { Clients } from "./clients.ts";
import { until } from "./processes.ts";
import type { ServedRepository } from "./repository.ts";
import { organization, verify, type Stage } from "./story.ts";
import { followLog } from "./workloads.ts";

const examples = join(import.meta.dirname, "../examples/pipelines");
const survey = "examples/pipelines/survey.yaml";
/** How long a run may take, beyond any reasonable time. */
const runLimit_ms = 120_000;

/** Runs a pipeline of this repository, whose jobs need, repeat and fail; answers the run. */
export async function runPipeline(stage: Stage, repository: ServedRepository, directory: string): Promise<Run> {
  const { terminal, clients } = stage;
  terminal.step("A pipeline of this repository: a matrix, dependencies, a job that is tried again");
  const shared = join(directory, "shared");
  mkdirSync(shared);
  // Jobs run under users of their own.
  chmodSync(shared, 0o777);
  await clients.projects.createProject({ organization, name: "agyn", sourceUrl: repository.url });
  const request = { organization, project: "agyn", pipeline: survey, ref: repository.commit, inputs: { shared } };
  const { run } = await clients.runs.startRun(request);
  terminal.fact("run", `${run!.number} of project agyn: ${survey} at ${run!.commit.slice(0, 12)}`);
  const ended = await untilRunEnded(clients, run!);
  const jobs = await showJobs(stage, ended);
  for (const job of jobs.filter(({ definition }) => definition === "count"))
    for (const line of await readLines(clients, job)) terminal.note(line);
  const mirror = jobs.find(({ name }) => name === "mirror")!;
  verify(ended.state === RunState.FAILED, "the run failed");
  verify(jobs.filter(({ definition }) => definition === "count").length === 3, "the matrix has three jobs");
  verify(mirror.state === JobState.SUCCEEDED && mirror.workloadIds.length === 2, "mirror was tried twice");
  terminal.verdict("held", "mirror failed with exit code 7, waited its back-off, and was tried again");
  verify(stateOf(jobs, "report") === JobState.SKIPPED, "report was not started");
  terminal.verdict("refused", `run ${ended.number} failed: review did, and report, which needs it, was not started`);
  return ended;
}

/** Runs again what failed; what succeeded is kept. */
export async function rerunFailed(stage: Stage, failed: Run): Promise<void> {
  const { terminal, clients } = stage;
  terminal.step("What failed is run again");
  const { run } = await clients.runs.rerunRun({ run: failed.id, organization, scope: { case: "failed", value: true } });
  const ended = await untilRunEnded(clients, run!);
  const jobs = await showJobs(stage, ended);
  const first = await listJobs(clients, ended, 1);
  verify(ended.state === RunState.SUCCEEDED && ended.attempt === 2, "attempt 2 succeeded");
  const again = jobs.filter(({ reused }) => !reused).map(({ name }) => name);
  verify(again.join() === "review,report", "only what failed, and what needs it, ran again");
  verify(stateOf(first, "review") === JobState.FAILED, "attempt 1 stays as it was");
  terminal.verdict("held", `attempt 2 succeeded: ${again.join(" and ")} ran again, and attempt 1 stays with its logs`);
}

/** Queues three runs where one may run at a time, changes their order, and sees them start in it. */
export async function reorderQueue({ terminal, clients }: Stage): Promise<void> {
  terminal.step("A queue, and another order for it");
  const { queue, runs } = clients;
  await queue.updateQueueSettings({ organization, maximumRunningJobs: 1 });
  await queue.pauseQueue({ organization, reason: "the demo looks at it" });
  const started: Run[] = [];
  const content = readFileSync(join(examples, "step.yaml"));
  for (const size of ["large", "medium", "small"])
    started.push((await runs.startRun({ organization, pipeline: "step.yaml", content, inputs: { size } })).run!);
  const listed = async () => (await queue.listQueue({ organization })).items;
  const before = await until("three queued jobs", async () => {
    const items = await listed();
    return items.length === 3 && items.every(({ waitsFor }) => waitsFor.includes("paused")) ? items : undefined;
  });
  const sizes = new Map(started.map((run) => [run.id, run.inputs["size"]!]));
  terminal.table([
    ["JOB", "SIZE", "WAITS FOR"],
    ...before.map(({ job, waitsFor }) => [`${job!.runNumber}/${job!.name}`, sizes.get(job!.runId)!, waitsFor]),
  ]);
  const last = `${started[2]!.number}/step`;
  await queue.moveJob({ job: last, organization, to: { case: "top", value: true } });
  const after = (await listed()).map(({ job }) => sizes.get(job!.runId)!);
  verify(after.join() === "small,large,medium", `the order is another one: ${after.join(", ")}`);
  terminal.verdict("held", `${last} moved to the top: ${after.join(", ")}`);
  await queue.resumeQueue({ organization });
  const ended = await Promise.all(started.map((run) => untilRunEnded(clients, run)));
  const order = ended.toSorted((a, b) => startOf(a) - startOf(b)).map((run) => sizes.get(run.id)!);
  verify(order.join() === after.join(), `they started in that order, not ${order.join(", ")}`);
  terminal.verdict("held", `one at a time, as the limit is, they ran in that order`);
}

async function untilRunEnded({ runs }: Clients, { id }: Run): Promise<Run> {
  const find = async () => {
    const { run } = await runs.getRun({ run: id, organization });
    return run!.endTime === undefined ? undefined : run!;
  };
  return until("the end of the run", find, { timeout_ms: runLimit_ms });
}

async function listJobs({ runs }: Clients, { id }: Run, attempt: number): Promise<Job[]> {
  return (await runs.listJobs({ run: id, organization, attempt, pageSize: 100 })).jobs;
}

/** Shows the jobs of a run's last attempt. */
async function showJobs({ terminal, clients }: Stage, run: Run): Promise<Job[]> {
  const jobs = await listJobs(clients, run, run.attempt);
  const rows = jobs.map((job) => [
    job.name,
    stateText(job),
    job.workloadIds.length === 0 ? "-" : String(job.try),
    job.message,
  ]);
  terminal.table([["JOB", "STATE", "TRIES", "WHY"], ...rows]);
  return jobs;
}

function stateText({ state, reused }: Job): string {
  const word = JobStateSchema.value[state]!.localName.toLowerCase();
  return reused ? `${word}, kept` : word;
}

function stateOf(jobs: readonly Job[], name: string): JobState | undefined {
  return jobs.find((job) => job.name === name)?.state;
}

async function readLines(clients: Clients, job: Job): Promise<string[]> {
  const lines: string[] = [];
  for await (const { content } of followLog(clients, { id: job.workloadId }))
    lines.push(Buffer.from(content).toString());
  return lines.filter((line) => line.includes("lines of TypeScript"));
}

function startOf({ startTime }: Run): number {
  return startTime === undefined ? 0 : timestampMs(startTime);
}
