import { JobState, RunState, type Job, type Run } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { streamOptions } from "./client.ts";
import type { Context } from "./context.ts";
import { exitCodes } from "./failures.ts";
import { createJobLogs } from "./job-logs.ts";
import { createLogTask, type LogTask } from "./log-task.ts";
import { createPlaces } from "./places.ts";
import { listJobs } from "./run-reader.ts";
import type { Tone } from "./terminal.ts";
import { hasJobEnded, jobRunTime, jobStateText, jobTone, jobView, whyText } from "./views/job.ts";
import { hasRunEnded, runStateText, runTime, runTone } from "./views/run.ts";
import { watchMessages } from "./watch.ts";

/** Logs that are read at once; more wait for one of these to end. */
const maximumFollowedLogs = 64;

/** What of a run is followed. */
export interface Following {
  /** Which jobs' logs are shown; by default all. */
  readonly shows?: (job: Job) => boolean;
  /** Of each log, only the last so many lines of those that are there. */
  readonly tail?: number | undefined;
}

/** Shows the states and logs of a run's jobs as they come, at the end a table; answers the exit code of the run. */
export async function followRun(context: Context, started: Run, following: Following = {}): Promise<number> {
  const { output } = context;
  try {
    const known = await listJobs(context, started);
    const logs = createRunLogs(context, known, following);
    const ended = await awaitEnd(context, started, createTeller(context, logs));
    const jobs = await listJobs(context, ended);
    for (const job of jobs) logs.follow(job);
    await logs.finish();
    await output.list(jobView, jobs);
    const parts = [runStateText(ended), `after ${runTime(ended, context.terminal.now())}`, ended.message];
    await output.note(
      `run ${ended.number} ${parts.filter((part) => part !== "").join(", ")}`,
      runTone(ended) ?? "warning",
    );
    return ended.state === RunState.SUCCEEDED ? exitCodes.ok : exitCodes.failure;
  } catch (error) {
    if (!context.terminal.signal.aborted) throw error;
    await tellDetached(context, started);
    return exitCodes.interrupted;
  }
}

async function tellDetached({ output }: Context, { number }: Run): Promise<void> {
  await output.note(`detached: run ${number} goes on`);
  await output.note(`follow it again: agynctl runs logs ${number} --follow`);
  await output.note(`cancel it: agynctl runs cancel ${number}`);
}

interface Seen {
  readonly run: Run;
  readonly jobs: readonly Job[];
}

/** Watches until the run has ended, and tells each change. */
async function awaitEnd(context: Context, started: Run, tell: (seen: Seen) => Promise<void>): Promise<Run> {
  const { runs } = await context.controlPlane();
  const request = { organization: started.organizationId, runId: started.id };
  const open = (bookmark: string): ReturnType<typeof runs.watchRuns> =>
    runs.watchRuns({ ...request, bookmark }, streamOptions);
  let run = started;
  let isWhole = false;
  for await (const message of watchMessages(context, open)) {
    run = message.runs.find(({ id }) => id === started.id) ?? run;
    isWhole ||= message.snapshotComplete;
    await tell({ run, jobs: message.jobs });
    if (isWhole && hasRunEnded(run)) return run;
  }
  return run;
}

/** Says what is new about jobs that is not their logs: what they wait for, where they went, how they ended. */
function createTeller({ output, terminal }: Context, logs: RunLogs): (seen: Seen) => Promise<void> {
  const told = new Map<string, string>();
  return async ({ run, jobs }) => {
    for (const job of jobs) {
      if (job.attempt !== run.attempt) continue;
      const news = newsOf(job, terminal.now());
      const fact = `${job.state} ${job.try} ${job.runnerId} ${job.message}`;
      if (news !== undefined && told.get(job.id) !== fact) await output.note(`${job.name}: ${news.text}`, news.tone);
      told.set(job.id, fact);
      logs.follow(job);
    }
  };
}

function newsOf(job: Job, now: Date): { text: string; tone: Tone | undefined } | undefined {
  const why = whyText(job);
  const reason = why === "" ? "" : `: ${why}`;
  const tone = jobTone(job);
  const state = jobStateText(job);
  if (job.state === JobState.BLOCKED || job.reused) return undefined;
  if (job.state === JobState.RUNNING) {
    const again = job.try > 1 ? ` (try ${job.try})` : "";
    return { text: `${state}${job.runnerName === "" ? "" : ` on ${job.runnerName}`}${again}`, tone: "strong" };
  }
  const time = hasJobEnded(job) && job.startTime !== undefined ? ` after ${jobRunTime(job, now)}` : "";
  return { text: `${state}${time}${reason}`, tone };
}

interface RunLogs {
  /** Shows the logs of tries of the job that are not shown yet, one after the other. */
  follow(job: Job): void;
  /** Waits for the ends of all; every workload has ended. */
  finish(): Promise<void>;
}

function createRunLogs(context: Context, known: readonly Job[], { shows = () => true, tail }: Following): RunLogs {
  const names = known.filter(shows).map(({ name }) => name);
  const open = createJobLogs(context.terminal, { names, format: context.output.format });
  const lines = new Map<string, { log: ReturnType<typeof open>; last: LogTask | undefined; turn: Promise<void> }>();
  const followed = new Set<string>();
  const places = createPlaces(maximumFollowedLogs);

  const followTry = (job: Job, workload: string): void => {
    const line = lines.get(job.id) ?? { log: open(job.name), last: undefined, turn: Promise.resolve() };
    lines.set(job.id, line);
    const { last } = line;
    const task = createLogTask(context, { id: workload, organizationId: job.organizationId, tail }, line.log.print);
    line.last = task;
    line.turn = line.turn.then(async () => {
      await last?.finish();
      await places.take();
      task.start();
      void task.ended.then(() => places.giveBack());
    });
    line.turn.catch(() => undefined);
  };
  return {
    follow(job) {
      if (job.reused || !shows(job)) return;
      for (const workload of job.workloadIds.filter((id) => !followed.has(id))) {
        followed.add(workload);
        followTry(job, workload);
      }
    },
    async finish() {
      const all = [...lines.values()].map(async ({ log, turn, last }) => {
        await turn;
        await last?.finish();
        await log.end();
      });
      await Promise.all(all);
    },
  };
}
