import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";

import type { EnterRequest, Execution, Isolation } from "../../runner/src/executors/executor.ts";
import { canIsolate } from "../../runner/src/executors/isolation.ts";
import { openWorld, until, type World } from "./support/world.ts";

const all: Isolation[] = ["uid", "namespace", "none"];
const possible = await Promise.all(all.map(async (isolation) => ((await canIsolate(isolation)) ? [isolation] : [])));
const isolations = possible.flat();

/** A job that runs, says which user it is and which namespaces it has, and waits. */
async function startJob(world: World): Promise<{ execution: Execution; facts: string[] }> {
  const say = "id -u; pwd; readlink /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/user; cat /proc/self/cgroup";
  const env = [{ name: "KEY", value: "s3cret-value", secret: true }];
  const { execution, log } = await world.start(["sh", "-c", `${say}; echo up; exec sleep 600`], { env });
  await until("the job is up", () => log.hasStarted() && log.stdout().endsWith("up\n"));
  return { execution, facts: log.stdout().split("\n").slice(0, -2) };
}

/** Runs a command in there to its end. */
async function enter(execution: Execution, request: EnterRequest, react: (said: string) => string = () => "") {
  const entered = await execution.entrance!().enter(request);
  if (request.terminal === undefined) entered.end();
  let said = "";
  for await (const { bytes } of entered.output) {
    said += bytes.toString();
    const answer = react(said);
    if (answer !== "") await entered.write(Buffer.from(answer));
  }
  return { said, ...(await entered.exit) };
}

const terminal = { columns: 90, rows: 33, type: "" };

describe.each(isolations)("with the isolation %s", (isolation) => {
  test("a command is where the job is: its user, directory, namespaces, cgroup and environment", async () => {
    await using world = await openWorld(isolation);
    const { execution, facts } = await startJob(world);
    const say = "id -u; pwd; readlink /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/user; cat /proc/self/cgroup";
    const { said, exitCode } = await enter(execution, { argv: ["sh", "-c", `${say}; echo $KEY; exit 3`] });
    expect(said.split("\n")).toEqual([...facts, "s3cret-value", ""]);
    expect(exitCode).toBe(3);
  });

  test("a terminal is the command's own, and what is typed to interrupt it reaches the command alone", async () => {
    await using world = await openWorld(isolation);
    const { execution } = await startJob(world);
    const text =
      "tty; stty size; echo ok >\"$(tty)\"; trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.02; done";
    let hasTyped = false;
    const react = (said: string): string => {
      if (hasTyped || !said.includes("ready")) return "";
      hasTyped = true;
      return "\u0003";
    };
    const { said, exitCode } = await enter(execution, { argv: ["sh", "-c", text], terminal }, react);
    expect(said).toMatch(/^\/dev\/pts\/\d+\r\n33 90\r\nok\r\nready\r\n/);
    expect(said).toContain("caught");
    expect(exitCode).toBe(4);
  });

  test("a job that is adopted is entered with its secrets, and what entered it ends with it", async () => {
    await using world = await openWorld(isolation);
    await startJob(world);
    const [adopted] = await world.restart();
    const { execution } = adopted!;
    await until("it is taken up", () => adopted!.log.hasStarted());
    expect((await enter(execution, { argv: ["sh", "-c", "echo $KEY"] })).said).toBe("s3cret-value\n");
    const entered = await execution.entrance!().enter({ argv: ["sh", "-c", "echo in; exec sleep 600"] });
    for await (const { bytes } of entered.output)
      if (bytes.toString() === "in\n") execution.stop({ graceMs: 0, reason: "" });
    await execution.result;
    expect((await entered.exit).exitCode).not.toBe(0);
    expect(() => execution.entrance!()).toThrow("its command does not run");
  });
});

test.skipIf(!isolations.includes("uid"))("nothing of the runner comes along, and no privilege is left", async () => {
  await using world = await openWorld("uid");
  const key = join(world.data, "identity/key.pem");
  writeFileSync(key, "the runner's private key", { mode: 0o600 });
  vi.stubEnv("AGYN_SERVICE_TOKEN", "agyn_rt_secret");
  onTestFinished(() => void vi.unstubAllEnvs());
  const { execution } = await startJob(world);
  const look = `cat ${key}; env | grep -c agyn_rt; ls /proc/self/fd | grep -c '^7$'; grep -E '^(NoNewPrivs|CapBnd|CapPrm)' /proc/self/status`;
  const { said } = await enter(execution, { argv: ["sh", "-c", `(${look}) 2>&1`] });
  expect(said).not.toContain("private key");
  expect(said).toMatch(/Permission denied\n0\n0\nCapPrm:\t0+\nCapBnd:\t0+\nNoNewPrivs:\t1\n$/);
});

test("a command that reads nothing takes no more than its pipe, and hanging up ends it", async () => {
  await using world = await openWorld("none");
  const { execution } = await startJob(world);
  const entered = await execution.entrance!().enter({ argv: ["sh", "-c", "trap '' HUP; echo in; exec sleep 600"] });
  await entered.output[Symbol.asyncIterator]().next();
  let isTaken = false;
  void entered.write(Buffer.alloc(1024 * 1024)).then(() => (isTaken = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isTaken).toBe(false);
  entered.close();
  expect(await entered.exit).toMatchObject({ signal: "SIGKILL" });
  await until("what was not taken is let go", () => isTaken);
});

test("all that a command wrote to its terminal is there for a reader that takes its time", async () => {
  await using world = await openWorld("none");
  const { execution } = await startJob(world);
  const entered = await execution.entrance!().enter({ argv: ["seq", "1", "100000"], terminal });
  const pieces: Buffer[] = [];
  for await (const { bytes } of entered.output) {
    pieces.push(bytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const lines = Buffer.concat(pieces).toString().split("\r\n");
  expect(lines).toEqual([...Array.from({ length: 100_000 }, (_, index) => String(index + 1)), ""]);
  expect(await entered.exit).toEqual({ exitCode: 0 });
});
