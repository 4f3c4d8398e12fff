import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { ConnectError } from "@connectrpc/connect";
import { Outcome, WorkloadPhase, type Workload } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { streamOptions } from "./client.ts";
import type { Context } from "./context.ts";
import { failingRules } from "./explanation.ts";
import { exitCodes } from "./failures.ts";
import { createLogPrinter } from "./log-printer.ts";
import { createLogTask } from "./log-task.ts";
import { phaseText, resultText, runTime, isTerminal } from "./views/workload.ts";
import { quote } from "./quote.ts";
import { watchMessages } from "./watch.ts";

/** How long after the end of a try the next one is waited for, where the workload is to be retried. */
const retryWaitMs = 5000;
const pollMs = 250;
const maximumRunnersShown = 5;

/** Follows a workload, and those that try it again, to the end; answers the exit code of the last. */
export async function followWorkload(context: Context, started: Workload): Promise<number> {
  let workload = started;
  try {
    for (;;) {
      const ended = await followTry(context, workload);
      const next = await findRetry(context, ended);
      if (next === undefined) return exitCodeOf(ended);
      await context.output.note(`tried again as ${next.id} (try ${next.try})`, "warning");
      workload = next;
    }
  } catch (error) {
    if (!context.terminal.signal.aborted) throw error;
    await tellDetached(context, workload);
    return exitCodes.interrupted;
  }
}

async function tellDetached({ output }: Context, { id }: Workload): Promise<void> {
  await output.note(`detached: ${id} goes on`);
  await output.note(`follow it again: agynctl workloads logs --follow ${quote(id)}`);
  await output.note(`stop it: agynctl workloads stop ${quote(id)}`);
}

async function followTry(context: Context, workload: Workload): Promise<Workload> {
  const { terminal, output } = context;
  const printer = createLogPrinter(terminal, { format: "table", hasTimes: false, isRaw: false });
  const log = createLogTask(context, workload, (line) => printer.print(line));
  const tell = createTeller(context);
  const ended = await awaitEnd(context, workload, async (seen) => {
    await tell(seen);
    if (seen.runnerId !== "") log.start();
  });
  await log.finish();
  await printer.end();
  // Where no runner ever had it, the message says so.
  const result = ended.result === undefined ? "" : resultText(ended);
  const summary = [
    phaseText(ended),
    result,
    ended.startTime === undefined ? "" : `after ${runTime(ended, terminal.now())}`,
    ended.message,
  ];
  const parts = summary.filter((part, index) => part !== "" && summary.indexOf(part) === index);
  await output.note(`${ended.id} ${parts.join(", ")}`, ended.phase === WorkloadPhase.SUCCEEDED ? "good" : "bad");
  return ended;
}

/** Says what is new about a workload that is not its log: why it waits, where it went, whether its runner is there. */
function createTeller(context: Context): (seen: Workload) => Promise<void> {
  const { output } = context;
  let runnerId = "";
  let waiting = "";
  let isUnreachable = false;
  return async (seen) => {
    const isWaiting = seen.phase === WorkloadPhase.PENDING && seen.message !== "";
    if (isWaiting && seen.message !== waiting) await output.note(`waiting: ${seen.message}`, "dim");
    if (isWaiting) waiting = seen.message;
    if (seen.runnerId !== "" && seen.runnerId !== runnerId) await explainPlacement(context, seen);
    runnerId = seen.runnerId;
    const isLostFromSight = seen.unreachableSince !== undefined && !isTerminal(seen);
    if (isLostFromSight && !isUnreachable)
      await output.note(`${seen.runnerName} is out of reach: what runs there goes on`, "warning");
    if (isUnreachable && !isLostFromSight && !isTerminal(seen)) await output.note(`${seen.runnerName} is back`, "dim");
    isUnreachable = isLostFromSight;
  };
}

/** Watches until the workload has ended, and tells each change. */
async function awaitEnd(
  context: Context,
  workload: Workload,
  tell: (seen: Workload) => Promise<void>,
): Promise<Workload> {
  const { orchestrator } = await context.controlPlane();
  await tell(workload);
  if (isTerminal(workload)) return workload;
  const request = { organization: workload.organizationId, workloadId: workload.id };
  const open = (bookmark: string): ReturnType<typeof orchestrator.watchWorkloads> =>
    orchestrator.watchWorkloads({ ...request, bookmark }, streamOptions);
  for await (const change of watchMessages(context, open)) {
    const changed = change.workloads.find(({ id }) => id === workload.id);
    // A workload that ended before the snapshot is not in it.
    const isGone = changed === undefined && change.snapshotComplete;
    const seen = isGone ? await getWorkload(context, workload.id, workload.organizationId) : changed;
    if (seen === undefined) continue;
    await tell(seen);
    if (isTerminal(seen)) return seen;
  }
  return workload;
}

async function getWorkload(context: Context, id: string, organization: string): Promise<Workload | undefined> {
  const { orchestrator } = await context.controlPlane();
  return (await orchestrator.getWorkload({ workload: id, organization })).workload;
}

async function findRetry(context: Context, ended: Workload): Promise<Workload | undefined> {
  const isLost = ended.phase === WorkloadPhase.LOST && ended.retry?.onLost === true;
  const isFailed = ended.phase === WorkloadPhase.FAILED && ended.retry?.onFailed === true;
  const isExpected = (isLost || isFailed) && ended.try < (ended.retry?.maximumTries ?? 0);
  const deadline = performance.now() + retryWaitMs;
  let latest: Workload | undefined = ended;
  while (isExpected && latest?.retriedBy === "" && performance.now() < deadline) {
    await delay(pollMs, undefined, { signal: context.terminal.signal });
    latest = await getWorkload(context, ended.id, ended.organizationId);
  }
  return latest === undefined || latest.retriedBy === ""
    ? undefined
    : getWorkload(context, latest.retriedBy, ended.organizationId);
}

/** Says why it went there and not elsewhere; saying less is no reason to fail. */
async function explainPlacement(context: Context, workload: Workload): Promise<void> {
  const { output } = context;
  await output.note(`${workload.id} placed on ${workload.runnerName}`, "strong");
  try {
    const { orchestrator } = await context.controlPlane();
    const subject = { case: "workload", value: workload.id } as const;
    const { explanation } = await orchestrator.explain({ organization: workload.organizationId, subject });
    const others = explanation?.runners.filter(({ runnerId }) => runnerId !== workload.runnerId) ?? [];
    for (const { runnerName, eligible, rules } of others.slice(0, maximumRunnersShown)) {
      await output.note(`  ${runnerName}: ${eligible ? "would have fitted, too" : failingRules(rules)}`, "dim");
    }
    if (others.length > maximumRunnersShown)
      await output.note(`  … and ${others.length - maximumRunnersShown} more`, "dim");
  } catch (error) {
    if (!(error instanceof ConnectError) || context.terminal.signal.aborted) throw error;
  }
}

/** The job's own exit code; 128 + n after signal n. */
export function exitCodeOf(workload: Workload): number {
  const { result, phase, runnerId } = workload;
  if (result === undefined) {
    if (phase === WorkloadPhase.SUCCEEDED) return exitCodes.ok;
    return phase === WorkloadPhase.FAILED && runnerId === "" ? exitCodes.noRunner : exitCodes.failure;
  }
  if (result.outcome === Outcome.EXITED) return result.exitCode;
  if (result.outcome === Outcome.TIMED_OUT) return exitCodes.timedOut;
  const signal = Object.entries(constants.signals).find(([name]) => name === result.signal);
  return signal === undefined ? exitCodes.failure : 128 + signal[1];
}
