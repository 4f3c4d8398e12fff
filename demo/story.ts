import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { LogStream } from "../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { Verdict } from "../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import { WorkloadPhase, type Workload } from "../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { Runner } from "../proto/gen/agyn/runners/v1/runner_pb.ts";
import type { Clients } from "./clients.ts";
import type { FleetRunner, Member } from "./fleet.ts";
import { until } from "./processes.ts";
import type { ServedRepository } from "./repository.ts";
import type { Terminal } from "./terminal.ts";
import {
  demandOf,
  demandText,
  followLog,
  showExplanation,
  showLog,
  showResult,
  startWorkload,
  untilEnded,
} from "./workloads.ts";

export const organization = "acme";

export const members: readonly Member[] = [
  { name: "shared-1", cluster: true, labels: { tier: "shared" }, capabilities: ["git"] },
  { name: "build-1", cluster: false, labels: { tier: "build", disk: "hdd" }, capabilities: ["git"] },
  { name: "build-2", cluster: false, labels: { tier: "build", disk: "ssd" }, capabilities: ["git", "typescript"] },
];

/** What the steps work with. */
export type Stage = { terminal: Terminal; clients: Clients; fleet: readonly FleetRunner[] };

/** How long a workload may take, beyond any reasonable time. */
const workloadLimit_ms = 120_000;

/** A fact that the demo is there to show; where it does not hold, the demo fails. */
export function verify(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`this should hold, and does not: ${what}`);
}

/** Shows who enrolled with which identity. */
export function showEnrollment(terminal: Terminal, runners: readonly Runner[]): void {
  const rows = runners.map((runner) => [
    runner.name,
    runner.scope?.kind.case === "cluster" ? "cluster" : `organization ${organization}`,
    Object.entries(runner.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(" "),
    runner.effectiveCapabilities.join(" "),
    runner.isolation,
  ]);
  terminal.table([["RUNNER", "SCOPE", "LABELS", "CAPABILITIES", "ISOLATION"], ...rows]);
  terminal.blank();
  for (const { name, identity } of runners) {
    verify(identity?.uri.startsWith("spiffe://") === true, `runner ${name} has an identity`);
    const expiry = timestampDate(identity.expireTime!).toISOString().slice(11, 16);
    terminal.verdict("held", `${name} enrolled as ${identity.uri}`);
    terminal.note(
      `  generation ${identity.generation}, certificate ${identity.serial.slice(0, 16)}, until ${expiry} UTC`,
    );
  }
}

const checkScript = `
say() { printf '\\033[1;36m%s\\033[0m\\n' "$1"; }
PATH=$TOOLBOX/bin:$PATH
say "the contract: buf lint"
echo "$(find proto/agyn -name '*.proto' | wc -l) files"
buf lint
say "the sources: tsc"
ln -s "$TOOLBOX/node_modules" node_modules
tsc -p tsconfig.json --pretty --diagnostics >"$TMPDIR/tsc" || { cat "$TMPDIR/tsc"; exit 1; }
grep -E '^(Files|Lines):' "$TMPDIR/tsc"
printf '\\033[32m%s\\033[0m\\n' "nothing to complain about"
`;

/** Says why one runner is chosen, then checks this repository's own contract and sources there. */
export async function checkRepository(stage: Stage, repository: ServedRepository, toolbox: string): Promise<void> {
  const { terminal, clients } = stage;
  const demand = demandOf({ disk: "ssd" }, ["git", "typescript"]);
  terminal.step("A demand, and why this runner");
  terminal.fact("demand", demandText(demand));
  const subject = { case: "demand" as const, value: demand };
  const { explanation } = await clients.orchestrator.explain({ organization, subject });
  showExplanation(terminal, explanation!);
  const chosen = stage.fleet.find(({ member }) => member.name === "build-2")!;
  verify(explanation!.verdict === Verdict.PLACEABLE, "the demand can be met");
  verify(explanation!.eligibleRunnerIds.join() === chosen.id, "only build-2 fits");

  terminal.step("A real workload: this repository's contract and sources are checked");
  terminal.fact("commit", `${repository.commit.slice(0, 12)} ${repository.subject}`);
  const workload = await startWorkload(clients, {
    organization,
    name: "check",
    demand,
    spec: {
      command: { case: "script", value: { text: checkScript, shell: "sh" } },
      git: { url: repository.url, ref: repository.commit },
      environment: [{ name: "TOOLBOX", value: toolbox }],
      timeout: { seconds: BigInt(workloadLimit_ms / 1000) },
    },
  });
  terminal.fact("workload", `${workload.id} on ${chosen.member.name}`);
  const lines = await showLog(terminal, clients, workload);
  const ended = await untilEnded(clients, workload, workloadLimit_ms);
  verify(ended.runnerId === chosen.id, "it ran on build-2");
  showResult(terminal, ended);
  const text = lines.map(({ content }) => Buffer.from(content).toString()).join("\n");
  verify(ended.phase === WorkloadPhase.SUCCEEDED, `the checks passed (${ended.message})`);
  verify(text.includes(`checked out ${repository.commit}`), "the workspace was at this commit");
  verify(text.includes("nothing to complain about"), "its log is whole");
  terminal.verdict("held", "the runner's workspace held this commit; contract and sources are in order");
}

/** Asks for what no runner has; the error names it, and the workload is on record as failed. */
export async function demandTheImpossible({ terminal, clients }: Stage): Promise<void> {
  terminal.step("A demand that nobody can meet");
  const demand = demandOf({}, ["gpu"]);
  terminal.fact("demand", demandText(demand));
  const spec = { command: { case: "argv" as const, value: { arguments: ["nvidia-smi"] } } };
  const error = await startWorkload(clients, { organization, name: "train", demand, spec }).then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  verify(error?.code === Code.FailedPrecondition, "the demand is refused at once");
  verify(error.rawMessage.includes('capability "gpu"'), `the error names the constraint: ${error.rawMessage}`);
  terminal.verdict("refused", error.rawMessage);
}

const countedLines = 250;
const linesBeforeKill = 40;
const countScript = `i=0; while [ $i -lt ${countedLines} ]; do i=$((i + 1)); echo "line $i"; sleep 0.03; done`;

/** Kills a runner in the middle of a job, starts it again, and counts the lines. */
export async function killRunner({ terminal, clients, fleet }: Stage): Promise<void> {
  terminal.step("A runner is killed in the middle of a job");
  const victim = fleet.find(({ member }) => member.name === "build-1")!;
  const workload = await startWorkload(clients, {
    organization,
    name: "count",
    demand: demandOf({ disk: "hdd" }),
    spec: { command: { case: "script", value: { text: countScript, shell: "sh" } } },
  });
  terminal.fact("workload", `${workload.id} on ${victim.member.name}: writes ${countedLines} numbered lines`);
  const seen: string[] = [];
  const following = (async () => {
    for await (const { stream, content } of followLog(clients, workload))
      if (stream === LogStream.STDOUT) seen.push(Buffer.from(content).toString());
  })();
  const isEnded = following.then(() => true);
  isEnded.catch(() => undefined);
  await until(`line ${linesBeforeKill}`, async () => {
    if (await Promise.race([isEnded, delay(0, false)])) {
      const { message } = await untilEnded(clients, workload, workloadLimit_ms);
      throw new Error(`the job ended after ${seen.length} lines: ${message}`);
    }
    return seen.length >= linesBeforeKill || undefined;
  });

  const before = victim.program;
  await before.end("SIGKILL", 5_000);
  terminal.verdict(
    "held",
    `process ${before.pid} of ${victim.member.name} killed with signal 9 after ${seen.length} lines`,
  );
  const find = async () => (await clients.orchestrator.getWorkload({ workload: workload.id })).workload!;
  const away = await until("the loss of contact", async () => {
    const found = await find();
    return found.unreachableSince === undefined ? undefined : found;
  });
  verify(away.phase === WorkloadPhase.RUNNING, "the workload keeps its phase");
  terminal.verdict("held", "out of reach for the control plane: the workload keeps its phase, running");

  await victim.start();
  const adopted = victim.program
    .records()
    .some((record) => record["message"] === "workload adopted" && record["workload_id"] === workload.id);
  verify(adopted, "the new process adopts the job");
  const linesThen = seen.length;
  terminal.verdict("held", `process ${victim.program.pid} started again, found the job alive and adopted it`);
  await Promise.race([following, delay(workloadLimit_ms, undefined, { ref: false })]);
  const ended = await untilEnded(clients, workload, workloadLimit_ms);
  verifyCount({ workload: away, ended, seen });
  verify(linesThen < countedLines, "the job was still at work when it was adopted");
  terminal.verdict("held", `succeeded under the same fence; lines 1 to ${countedLines} arrived once each, in order`);
}

function verifyCount({ workload, ended, seen }: { workload: Workload; ended: Workload; seen: string[] }): void {
  verify(ended.phase === WorkloadPhase.SUCCEEDED, `the job finished (${ended.message})`);
  verify(ended.fence === workload.fence && ended.try === 1, "it was the same placement throughout");
  verify(seen.length === countedLines, `all ${countedLines} lines arrived, not ${seen.length}`);
  const wrong = seen.findIndex((line, index) => line !== `line ${index + 1}`);
  verify(wrong === -1, `line ${wrong + 1} is in its place`);
}
