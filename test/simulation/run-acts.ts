import { cancelJobs } from "../../server/src/runs/cancel-run.ts";
import { rerunRun } from "../../server/src/runs/rerun-run.ts";
import { startRun } from "../../server/src/runs/start-run.ts";
import { hasJobEnded, hasRunEnded } from "../../server/src/domain/run-state.ts";
import { moveJob, type MoveTarget } from "../../server/src/store/job-order.ts";
import type { Organization } from "../../server/src/store/organizations.ts";
import type { Project } from "../../server/src/store/projects.ts";
import { pauseQueue, resumeQueue } from "../../server/src/store/queue-settings.ts";
import type { Act, Acts } from "./acts.ts";
import type { Simulation } from "./world.ts";

/** Live jobs beyond which no more runs are started. */
const mostLive = 24;

/** What people do with runs, jobs and the queue. */
export function createRunActs(
  simulation: Simulation,
  { organization, project }: { organization: Organization; project: Project },
): Acts {
  const { chaos, runInvariants, replicas } = simulation;
  const services = (of = chaos.pickReplica()) => of?.services?.runs;
  const runsThat = (hasEnded: boolean) =>
    [...runInvariants.runs.values()].filter((one) => hasRunEnded(one.state) === hasEnded);
  const jobsIn = (...states: string[]) => [...runInvariants.jobs.values()].filter((one) => states.includes(one.state));

  const start = async (at = chaos.pickReplica()) => {
    const live = [...runInvariants.jobs.values()].filter((one) => !hasJobEnded(one.state));
    const runs = services(at);
    if (!runs || live.length >= mostLive) return;
    const run = await startRun(runs.startDeps, {
      ...{ organizationId: organization.id, project: chaos.hits(70) ? project : undefined },
      ...{ pipeline: "simulated.yaml", ref: "", bundleDigest: "", inputs: {}, labels: {}, name: "", event: null },
      content: Buffer.from(pipeline(chaos)),
      priority: chaos.hits(20) ? chaos.below(3) : 0,
      cause: { kind: "manual", userId: "usr_simulation", triggerId: "", deliveryId: "", event: "" },
    });
    runInvariants.noteStarted(run.id);
  };
  const cancel = async () => {
    const live = runsThat(false);
    if (live.length > 0) await services()?.cancelRun(chaos.pick(live).id, { reason: "", grace_ms: null });
  };
  const rerun = async () => {
    const runs = services();
    const ended = runsThat(true);
    if (!runs || ended.length === 0) return;
    const scope = { kind: chaos.pick(["all", "failed"] as const) };
    await rerunRun(runs.startDeps, { runId: chaos.pick(ended).id, scope, ifAttempt: undefined });
  };
  /** Of what waits, or of what has just been claimed. */
  const pickJob = () => {
    const found = jobsIn("queued", ...(chaos.hits(30) ? ["running"] : []));
    return found.length > 0 ? chaos.pick(found) : undefined;
  };
  const cancelOne = async () => {
    const [runs, job] = [services(), pickJob()];
    if (!runs || !job) return;
    const cancellation = { jobIds: new Set([job.id]), reason: "cancelled in the queue", alsoRunning: chaos.hits(30) };
    await cancelJobs({ ...runs.advanceDeps, onAdvanced: runs.onAdvanced }, job.runId, cancellation);
  };
  const move = async () => {
    const [runs, job, beside] = [services(), pickJob(), pickJob()];
    if (!runs || !job || !beside) return;
    const target: MoveTarget = chaos.pick([
      { kind: "top" },
      { kind: "end" },
      { kind: "before", jobId: beside.id },
      { kind: "after", jobId: beside.id },
    ]);
    runs.takeJobs(await runs.sql.begin((transaction) => moveJob(transaction, job, target)));
  };
  const scopes = ["cluster", organization.id, project.id];
  const hold = async () => {
    const [runs, scopeId] = [services(), chaos.pick(scopes)];
    if (!runs) return;
    const organizationId = scopeId === "cluster" ? null : organization.id;
    await pauseQueue(runs.sql, { scopeId, organizationId, reason: "held", pausedBy: "usr_simulation" });
    runs.onQueueChanged();
    setTimeout(() => void resume().catch((error: unknown) => simulation.note(`not resumed: ${String(error)}`)), 4000);
  };
  const resume = async () => {
    const runs = services();
    if (!runs) return;
    for (const scopeId of scopes) await resumeQueue(runs.sql, scopeId);
    runs.onQueueChanged();
  };

  return {
    all: [
      { weight: 40, name: "start a run", run: () => start() },
      { weight: 5, name: "cancel a run", run: cancel },
      { weight: 5, name: "run again", run: rerun },
      { weight: 8, name: "cancel a job", run: cancelOne },
      { weight: 12, name: "move a job", run: move },
      { weight: 2, name: "hold a queue", run: hold },
      {
        weight: 4,
        name: "stall the leader while it claims",
        run: async () => {
          const leader = replicas.find((one) => one.leads);
          await start(leader);
          leader?.stall(3500 + chaos.below(3000));
        },
      },
      {
        weight: 3,
        name: "the leader leaves while jobs wait",
        run: async () => {
          const leader = replicas.find((one) => one.leads);
          await Promise.all([start(), leader?.stop()]);
        },
      },
    ] satisfies Act[],
    mend() {
      resume().catch((error: unknown) => simulation.note(`not resumed: ${String(error)}`));
    },
  };
}

/** One of the shapes that pipelines have; a job's script is how long it takes, in ms, and its exit code. */
function pipeline({ below, hits, pick }: Simulation["chaos"]): string {
  const job = (more = "") => {
    const script = `${100 + below(6000)} ${hits(25) ? 1 : 0}`;
    const retries = hits(50) ? ", retries: {max: 2, on: [failed, lost], backoff: 1s, backoff_max: 2s}" : "";
    const gpu = hits(15) ? ", requires: {capabilities: [gpu]}" : "";
    return `{run: "${script}", lost_after: ${4 + below(8)}s${retries}${gpu}${more}}`;
  };
  const conflict = pick(["wait", "cancel_older"]);
  return pick([
    () => `jobs:\n  a: ${job()}\n`,
    () => `jobs:\n  a: ${job()}\n  b: ${job(", needs: [a]")}\n  c: ${job(", needs: [a, b], if: always()")}\n`,
    () => `jobs:\n  a: ${job(`, matrix: {n: [1, 2, 3, 4], max_parallel: 2, fail_fast: ${hits(50)}}`)}\n`,
    () => `jobs:\n  a: ${job(", concurrency: {group: one}")}\n  b: ${job(", concurrency: {group: one}")}\n`,
    () => `jobs:\n  a: ${job(`, concurrency: {group: two, limit: 2, on_conflict: ${conflict}}`)}\n`,
    () => `concurrency: {group: deploy, on_conflict: ${conflict}}\njobs:\n  a: ${job()}\n  b: ${job(", needs: [a]")}\n`,
    () => `timeout: 8s\njobs:\n  a: ${job()}\n  b: ${job(", needs: [a], queue_timeout: 3s")}\n`,
  ])();
}
