import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import { StopSchema } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { Outcome, WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { bootTimeMs } from "../../runner/src/boot-clock.ts";
import { toDuration } from "../../runner/src/wire-time.ts";
import { createId } from "../../wire/ids.ts";
import { createMeeting } from "../support/meeting.ts";
import type { ControlPlane } from "./control-plane.ts";
import { eventually } from "./eventually.ts";
import { controlPlaneOfTest, temporaryDirectory } from "./world.ts";

const main = join(import.meta.dirname, "../../runner/src/main.ts");

type Started = { child: ChildProcess; output: () => string; exit: Promise<number | null> };

/** A runner process, killed with the test. */
function start(args: string[], environment: NodeJS.ProcessEnv = {}, more: ("ignore" | number)[] = []): Started {
  const stdio = ["pipe" as const, "pipe" as const, "pipe" as const, ...more];
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...environment }, stdio });
  let output = "";
  child.stderr!.on("data", (bytes: Buffer) => (output += bytes.toString()));
  child.stdout!.on("data", (bytes: Buffer) => (output += bytes.toString()));
  const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  return { child, output: () => output, exit };
}

/** A runner of the control plane, its token in a file. */
function startRunner(
  controlPlane: ControlPlane,
  dataDirectory: string,
  args: string[] = [],
  more?: ("ignore" | number)[],
) {
  const tokenFile = join(temporaryDirectory(), "token");
  writeFileSync(tokenFile, `${controlPlane.tokenText}\n`, { mode: 0o600 });
  const flags = ["--gateway", controlPlane.url, "--token-file", tokenFile, "--data-dir", dataDirectory, "--slots", "4"];
  return start([...flags, ...args], {}, more);
}

function script(text: string) {
  const command = { case: "script" as const, value: { text } };
  return {
    workloadId: createId("workload"),
    organizationId: createId("organization"),
    fence: 1n,
    executor: "process",
    resources: { slots: 1 },
    spec: { command },
  };
}

test("a job has nothing open but its input and outputs, whatever its runner was started with", async () => {
  const controlPlane = await controlPlaneOfTest();
  const file = openSync(main, "r");
  onTestFinished(() => closeSync(file));
  startRunner(
    controlPlane,
    temporaryDirectory(),
    [],
    [file, ...Array.from({ length: 36 }, () => "ignore" as const), file],
  );
  const session = await controlPlane.session(1);
  const place = script("exec ls /proc/self/fd");

  session.place(place);

  await session.next("completed", place.workloadId);
  const log = await eventually("the log", () => {
    const arrived = controlPlane.logs.get(place.workloadId);
    return arrived?.isEnded === true && arrived;
  });
  // The last one is the listing's own.
  expect(log.lines).toEqual(["0", "1", "2", "3"]);
});

test("a script runs in a process and its output and exit code arrive", async () => {
  const controlPlane = await controlPlaneOfTest();
  startRunner(controlPlane, temporaryDirectory());
  const session = await controlPlane.session(1);
  const place = script("echo one; echo two >&2; exit 7");

  session.place(place);

  const { result } = await session.next("completed", place.workloadId);
  expect(result).toMatchObject({ outcome: Outcome.EXITED, exitCode: 7 });
  const log = await eventually("the log", () => {
    const arrived = controlPlane.logs.get(place.workloadId);
    return arrived?.isEnded === true && arrived;
  });
  expect(log.lines.toSorted()).toEqual(["one", "two"]);
});

test("a runner that was killed adopts its workload, whose log and exit arrive as if nothing had been", async () => {
  const controlPlane = await controlPlaneOfTest();
  const directory = temporaryDirectory();
  const first = startRunner(controlPlane, directory);
  const session = await controlPlane.session(1);
  await using meeting = await createMeeting();
  const count = (from: number, to: number) => `for i in $(seq ${from} ${to}); do echo line $i; sleep 0.01; done`;
  const place = script(`${count(0, 149)}; ${meeting.script}; ${count(150, 299)}; exit 3`);
  session.place(place);
  await eventually("some lines", () => (controlPlane.logs.get(place.workloadId)?.lines.length ?? 0) > 20);

  first.child.kill("SIGKILL");
  await first.exit;
  startRunner(controlPlane, directory);

  const second = await controlPlane.session(2);
  expect((await second.hello).held).toMatchObject([{ workloadId: place.workloadId, phase: WorkloadPhase.RUNNING }]);
  await meeting.release();
  expect((await second.next("completed", place.workloadId)).result?.exitCode).toBe(3);
  await eventually("the log's end", () => controlPlane.logs.get(place.workloadId)?.isEnded);
  const expected = Array.from({ length: 300 }, (_, index) => `line ${index}`).toSpliced(150, 0, "waiting");
  expect(controlPlane.logs.get(place.workloadId)?.lines).toEqual(expected);
});

test("bad-21: a runner that was frozen beyond the loss time stops what is tried elsewhere as soon as it wakes", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = startRunner(controlPlane, temporaryDirectory());
  const terms = { heartbeatMs: 200, leaseMs: 2500, lossMarginMs: 400 };
  const session = await controlPlane.session(1, terms);
  const after = { kind: { case: "after" as const, value: toDuration(3000) } };
  const place = { ...script("exec sleep 60"), retriedWhenLost: true, loss: after };
  session.place(place);
  await eventually("a running workload", () => session.all("progress").length === 1);

  runner.child.kill("SIGSTOP");
  const frozenMs = bootTimeMs();
  await eventually("the loss time", () => bootTimeMs() - frozenMs > 3500);
  runner.child.kill("SIGCONT");

  const second = await controlPlane.session(2, terms);
  expect((await second.next("completed", place.workloadId)).result?.outcome).toBe(Outcome.LOST);
});

test("what cannot be adopted is reported as lost by the next process", async () => {
  const controlPlane = await controlPlaneOfTest();
  const directory = temporaryDirectory();
  const first = startRunner(controlPlane, directory);
  const session = await controlPlane.session(1);
  const simulated = { ...script("-"), executor: "simulated" };
  const value = { duration: { seconds: 60n, nanos: 0 } };
  session.place({ ...simulated, spec: { command: { case: "simulation", value } } });
  await session.next("accepted", simulated.workloadId);

  first.child.kill("SIGKILL");
  await first.exit;
  startRunner(controlPlane, directory);

  const second = await controlPlane.session(2);
  expect((await second.next("completed", simulated.workloadId)).result?.outcome).toBe(Outcome.LOST);
});

test("SIGTERM ends what is left after the time for it, says so, and exits with 0", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = startRunner(controlPlane, temporaryDirectory(), ["--drain-timeout", "0.3"]);
  const session = await controlPlane.session(1);
  const place = script("exec sleep 60");
  session.place(place);
  await eventually("a running workload", () => session.all("progress").length === 1);

  runner.child.kill("SIGTERM");

  expect(await runner.exit).toBe(0);
  expect((await session.next("completed", place.workloadId)).result?.outcome).toBe(Outcome.RUNNER_STOPPED);
  await session.next("leaving");
  expect(session.received.at(-1)?.case).toBe("leaving");
});

test("a second signal ends the runner at once and leaves its workloads to the next start", async () => {
  const controlPlane = await controlPlaneOfTest();
  const directory = temporaryDirectory();
  const first = startRunner(controlPlane, directory, ["--drain-timeout", "60"]);
  const session = await controlPlane.session(1);
  const place = script("exec sleep 60");
  session.place(place);
  await eventually("a running workload", () => session.all("progress").length === 1);

  first.child.kill("SIGINT");
  await eventually("the wait", () => first.output().includes("waits for its workloads"));
  first.child.kill("SIGINT");
  expect(await first.exit).toBe(0);
  startRunner(controlPlane, directory);

  const second = await controlPlane.session(2);
  expect((await second.hello).held).toMatchObject([{ phase: WorkloadPhase.RUNNING }]);
  second.say({ case: "stop", value: create(StopSchema, { workloadId: place.workloadId, fence: 1n }) });
  expect((await second.next("completed", place.workloadId)).result?.outcome).toBe(Outcome.STOPPED);
});

test("a runner with a parent's pipe ends with its parent", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = startRunner(controlPlane, temporaryDirectory(), ["--parent-pipe"]);
  await controlPlane.session(1);

  runner.child.stdin?.end();

  expect(await runner.exit).toBe(0);
});

test("a service token in the environment is in no process's environment once the runner runs", async () => {
  const controlPlane = await controlPlaneOfTest();
  const args = ["--gateway", controlPlane.url, "--data-dir", temporaryDirectory()];
  const runner = start(args, { AGYN_SERVICE_TOKEN: controlPlane.tokenText });
  const session = await controlPlane.session(1);
  const place = script("env; cat /proc/$PPID/environ 2>&1 | tr '\\0' '\\n'");

  session.place(place);
  await session.next("completed", place.workloadId);

  await eventually("the log", () => controlPlane.logs.get(place.workloadId)?.isEnded);
  const environment = readFileSync(`/proc/${runner.child.pid}/environ`, "latin1");
  const seen = environment + (controlPlane.logs.get(place.workloadId)?.lines.join("\n") ?? "");
  expect(seen).not.toContain(controlPlane.tokenText);
  const path = /AGYN_SECRETS_HANDOVER=([^\0]*)/.exec(environment)?.[1] ?? "";
  expect(existsSync(path)).toBe(false);
});

test.each([
  [[], "the control plane's address is needed: --gateway URL, or AGYN_GATEWAY"],
  [["--gateway", "ftp://x"], 'gateway "ftp://x" is not an http or https URL'],
  [["--gateway", "http://x", "--token-file", "/nowhere"], "the token file cannot be read: ENOENT"],
  [["--gateway", "http://x", "--slots", "0"], "it must be a whole number from 1 to 10000"],
  [["--gateway", "http://x", "--resource", "cpu"], "it must be name=amount, such as cpu=4"],
  [["--gateway", "http://x", "--proxy", "socks5://x"], "--proxy is not an http:// or https:// URL"],
  [["--gateway", "http://x", "--proxy", "http://ada:secret@x"], "a user and password belong in HTTPS_PROXY"],
  [["--gatway", "http://x"], "unknown option '--gatway' (Did you mean --gateway?)"],
])("%j is an error in one line", async (args, text) => {
  const runner = start(args, { AGYN_SERVICE_TOKEN: undefined, AGYN_GATEWAY: undefined });

  expect(await runner.exit).toBe(2);
  expect(runner.output()).toContain(`agyn-runner: `);
  expect(runner.output().replaceAll("\n", " ")).toContain(text);
});

test("nothing of a workload is left on disk once it is acknowledged", async () => {
  const controlPlane = await controlPlaneOfTest();
  const directory = temporaryDirectory();
  startRunner(controlPlane, directory);
  const session = await controlPlane.session(1);
  const place = script("echo hello > file; cat file");
  session.place(place);
  await session.next("completed", place.workloadId);

  const left = (): string[] =>
    ["spools", "executions", "jobs"].flatMap((name) => {
      const path = join(directory, name);
      return existsSync(path) ? readdirSync(path) : [];
    });
  await eventually("an empty directory", () => left().length === 0);
});
