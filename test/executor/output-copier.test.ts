import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, existsSync, mkdtempSync, openSync, readdirSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

import { copyFunction, maximumSegments, segmentBytes } from "../../runner/src/executors/output-files.ts";
import { readProcesses } from "../../runner/src/executors/process-tree.ts";
import { executionFiles, readWrapper } from "../../runner/src/executors/record.ts";
import { host, spooled } from "./support/hosted.ts";
import { type World, createGate, openWorld, run, until } from "./support/world.ts";

function filesOfTheOne(world: World) {
  const [name = ""] = readdirSync(world.options.directory);
  return executionFiles(join(world.options.directory, name));
}

/** Whether the copiers have no `dd` but the one that waits for the job's errors. */
function isWaiting(world: World): boolean {
  const wrapper = readWrapper(filesOfTheOne(world))!.pid;
  const processes = readProcesses().filter(({ groupId, state }) => groupId === wrapper && state !== "Z");
  return processes.length === 4;
}

/** Bytes of all segments that are there. */
function copiedBytes(world: World): number {
  const { directory } = filesOfTheOne(world).stdout;
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

test("while nobody takes its output a job fills two segments and then waits; all of it arrives later", async () => {
  await using world = await openWorld();
  const lines = 600_000;
  const { execution, log } = await world.start(["seq", "-f", `%.0f ${"x".repeat(90)}`, String(lines)]);
  log.pauses = true;
  const { stdout, exit } = await untilThere(world);
  await until("the second segment is begun", () => existsSync(stdout.segment(maximumSegments)));
  let bytes = 0;
  await until("no more is copied", () => {
    const before = bytes;
    bytes = copiedBytes(world);
    return before === bytes && isWaiting(world);
  });

  expect(readdirSync(stdout.directory).filter((name) => name.startsWith("out."))).toEqual(["out.1", "out.2"]);
  expect(bytes).toBeLessThanOrEqual(maximumSegments * segmentBytes);
  expect(existsSync(exit)).toBe(false);

  log.pauses = false;
  execution.resume();
  expect(await execution.result).toMatchObject({ exitCode: 0 });
  const arrived = log.stdout().split("\n");
  expect(arrived.length).toBe(lines + 1);
  expect(arrived.findIndex((line, index) => index < lines && Number.parseInt(line, 10) !== index + 1)).toBe(-1);
});

async function untilThere(world: World) {
  await until("the job is up", () => readdirSync(world.options.directory).length === 1);
  await until("its outputs are there", () => existsSync(filesOfTheOne(world).stdout.directory));
  return filesOfTheOne(world);
}

test("a job's CPU time is without what copying its output takes", async () => {
  await using world = await openWorld();
  const write = "yes $(seq 20) | head -c 400000000; times >&2";
  const { log, result } = await run(world, ["bash", "-c", write]);

  const times = [...log.stderr().matchAll(/([0-9]+)m([0-9.]+)s/g)];
  const ownMs = times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000, 0);
  expect(ownMs).toBeGreaterThan(50);
  expect(result.cpuMs).toBeLessThan(ownMs + 60);
});

test("what a job wrote is there although its wrapper and its runner died", async () => {
  await using world = await openWorld();
  const child = host(world, 1, ["sh", "-c", "seq 1 100000; echo >&2; sleep 60"]);
  await once(child, "exit");
  const files = filesOfTheOne(world);
  await until("all of it is copied", () => statSync(files.stderr.segment(1), { throwIfNoEntry: false })?.size === 1);
  process.kill(readWrapper(files)!.pid, "SIGKILL");

  const [adopted] = await world.restart();

  expect(await adopted?.execution.result).toMatchObject({ outcome: "lost" });
  expect(spooled(world) + adopted!.log.stdout()).toBe(
    Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join(""),
  );
  expect(adopted!.log.system()).toBe("");
});

test("somebody who keeps an output open is not waited for, and leaves no copier behind", async () => {
  await using world = await openWorld();
  const gate = createGate(world);
  const { execution, log } = await world.start(["sh", "-c", `echo up; ${gate.wait}; echo last`]);
  await until("the job is up", () => log.stdout() === "up\n");
  const files = filesOfTheOne(world);
  const stranger = openSync(files.stdout.pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(stranger));
  const wrapper = readWrapper(files)!.pid;
  gate.open();

  expect(await execution.result).toMatchObject({ outcome: "exited", exitCode: 0 });
  expect(log.stdout()).toBe("up\nlast\n");
  expect(log.system()).toBe("the end of the job's output was not seen\n");
  await until("the copiers are gone", () => readProcesses().every(({ groupId }) => groupId !== wrapper));
});

test("a copier that dies alone ends the job instead of holding it up", async () => {
  await using world = await openWorld();
  const child = host(world, Infinity, ["sh", "-c", "while echo line; do sleep 0.01; done; exit 5"]);
  await until("the job is up", () => spooled(world) !== "");
  const wrapper = readWrapper(filesOfTheOne(world))!.pid;
  const copiers = readProcesses().filter(({ pid, groupId }) => groupId === wrapper && pid !== wrapper);
  for (const { pid } of copiers) process.kill(pid, "SIGKILL");

  await once(child, "exit");
  expect(child.exitCode).toBe(0);
});

const namespace = ["--user", "--map-root-user", "--mount"];
const canMount = spawnSync("unshare", [...namespace, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]).status === 0;

test.skipIf(!canMount)(
  "on a full disk the copier goes on, says once that output is lost, and keeps what comes after",
  async () => {
    const disk = mkdtempSync(join(tmpdir(), "agyn-copier-"));
    onTestFinished(() => rm(disk, { recursive: true }));
    const text = `${copyFunction}
    mount -t tmpfs -o size=256k tmpfs "$directory" && cd "$directory" && mkdir output && mkfifo out.room notify && exec 5<>notify
    head -c 128k /dev/zero >ballast
    { seq 1 100000; rm ballast; sleep 0.2; echo last; } | (copy out 2>/dev/null)
    echo said >&5; read -r first <&5; read -r second <&5; echo "$first $second"
    head -n 1 output/out.1; tail -n 1 output/out.1; ls output`;
    const { stdout } = spawnSync("unshare", [...namespace, "env", `directory=${disk}`, "sh", "-c", text], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(stdout).toBe("lost said\n1\nlast\nout.1\nout.end\n");
  },
);
