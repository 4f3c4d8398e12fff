import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";

import { bootTimeMs } from "../../runner/src/boot-clock.ts";
import { executionFiles, readWrapper } from "../../runner/src/executors/record.ts";
import { canIsolate } from "../../runner/src/executors/isolation.ts";
import { host, killed, spooled } from "./support/hosted.ts";
import { type World, countRunning, createGate, openWorld, until } from "./support/world.ts";

function filesOfTheOne(world: World) {
  const [name = ""] = readdirSync(world.options.directory);
  return executionFiles(join(world.options.directory, name));
}

for (const isolation of ["uid", "namespace", "none"] as const) {
  const usable = await canIsolate(isolation);
  test.skipIf(!usable)(`a runner killed in mid-stream adopts its job and loses no line (${isolation})`, async () => {
    await using world = await openWorld(isolation);
    const child = host(world, 500_000, ["sh", "-c", "seq 1 300000; exit 4"]);
    await once(child, "exit");
    expect(child.signalCode).toBe("SIGKILL");
    const [adopted] = await world.restart();
    expect(await adopted?.execution.result).toMatchObject({ outcome: "exited", exitCode: 4 });
    const lines = (spooled(world) + adopted?.log.stdout()).split("\n");
    expect(lines.length).toBe(300_001);
    expect(lines.findIndex((line, index) => index < 300_000 && line !== String(index + 1))).toBe(-1);
  });
}

test("a job that ended while no runner was there gives its last output and its exit", async () => {
  await using world = await openWorld();
  const gate = createGate(world);
  const child = host(world, Infinity, ["sh", "-c", `echo up; ${gate.wait}; echo last words; exit 6`]);
  await until("the job is up", () => spooled(world) === "up\n");
  await killed(child);
  gate.open();
  await until("the job has ended", () => existsSync(filesOfTheOne(world).exit));
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ outcome: "exited", exitCode: 6 });
  expect(adopted?.log.stdout()).toBe("last words\n");
});

test("an adopted job can be stopped, and is gone when forgotten", async () => {
  await using world = await openWorld();
  const child = host(world, Infinity, ["sh", "-c", "echo up; sleep 3333.125"]);
  await until("the job is up", () => spooled(world) === "up\n");
  await killed(child);
  const [adopted] = await world.restart();
  adopted?.execution.stop({ graceMs: 5000, reason: "enough" });
  expect(await adopted?.execution.result).toMatchObject({ outcome: "stopped", signal: "SIGTERM", message: "enough" });
  expect(adopted?.log.hasStarted()).toBe(true);
  await adopted?.execution.forget();
  expect(countRunning("sleep\u00003333.125\u0000")).toBe(0);
  expect(readdirSync(world.options.directory)).toEqual([]);
  expect(await world.restart()).toEqual([]);
});

test("a job of before a restart of the machine is lost, and nothing is killed for it", async () => {
  await using world = await openWorld();
  const { execution, log } = await world.start(["sh", "-c", "echo up; sleep 60"]);
  await until("the job is up", () => log.stdout() === "up\n");
  const { record } = filesOfTheOne(world);
  const text = readFileSync(record, "utf8");
  writeFileSync(record, text.replace(/"bootId":"[^"]*"/, '"bootId":"another-boot"'));
  const [adopted] = await world.restart();
  const result = await adopted?.execution.result;
  expect(result).toMatchObject({ outcome: "lost", message: "the machine was restarted while the job ran" });
  execution.stop({ graceMs: 0, reason: "seen enough" });
  expect((await execution.result).outcome).toBe("stopped");
});

test("a job whose wrapper is gone is lost at once, and what is left of it is killed", async () => {
  await using world = await openWorld();
  const child = host(world, Infinity, ["sh", "-c", "echo up; sleep 4444.125"]);
  await until("the job is up", () => spooled(world) === "up\n");
  await killed(child);
  process.kill(readWrapper(filesOfTheOne(world))!.pid, "SIGKILL");
  await until("the wrapper is gone", () => !existsSync(`/proc/${readWrapper(filesOfTheOne(world))!.pid}/cwd`));
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ outcome: "lost" });
  expect(countRunning("sleep\u00004444.125\u0000")).toBe(0);
});

test("a process that has the wrapper's id by chance is not taken for it, and lives on", async () => {
  await using world = await openWorld();
  const child = host(world, Infinity, ["sh", "-c", "echo up; sleep 60"]);
  await until("the job is up", () => spooled(world) === "up\n");
  await killed(child);
  const files = filesOfTheOne(world);
  process.kill(readWrapper(files)!.pid, "SIGKILL");
  writeFileSync(files.wrapper, JSON.stringify({ pid: process.pid, startTicks: readWrapper(files)!.startTicks }));
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ outcome: "lost" });
});

test("a result that was not yet forgotten is given again", async () => {
  await using world = await openWorld();
  const { execution } = await world.start(["sh", "-c", "exit 9"]);
  const first = await execution.result;
  const [again] = await world.restart();
  expect(await again?.execution.result).toMatchObject({ outcome: "exited", exitCode: 9, endTime: first.endTime });
});

test("a runner that died before its job was started reports it lost", async () => {
  await using world = await openWorld();
  await world.start(["sh", "-c", "exit 9"]).then(({ execution }) => execution.result);
  const { wrapper, drained, exit, job } = filesOfTheOne(world);
  for (const path of [wrapper, drained, exit, job]) rmSync(path);
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({
    outcome: "lost",
    message: "the runner died before the job was started",
  });
});

test("the time of a job runs on while no runner is there", async () => {
  await using world = await openWorld();
  const child = host(world, Infinity, ["sh", "-c", "echo up; sleep 60"], { timeoutMs: 2000 });
  await until("the job is up", () => spooled(world) === "up\n");
  await killed(child);
  const { startTicks } = readWrapper(filesOfTheOne(world))!;
  await until("the job's time is up", () => bootTimeMs() > startTicks * 10 + 2000);
  const [adopted] = await world.restart();
  const result = await adopted?.execution.result;
  expect(result).toMatchObject({ outcome: "timed_out", message: "timed out after 2000 ms" });
});

test.for([
  { isolation: "uid", leaving: "setsid " },
  { isolation: "none", leaving: "" },
] as const)("a job ends when its time is up although its runner is dead ($isolation)", async (how, { skip }) => {
  if (!(await canIsolate(how.isolation))) skip();
  await using world = await openWorld(how.isolation);
  const nap = `3600.${randomInt(1e9)}`;
  const job = `trap '' TERM; ${how.leaving}sleep ${nap} & echo up; while :; do sleep 0.1; done`;
  const child = host(world, Infinity, ["sh", "-c", job], { timeoutMs: 3000, graceMs: 100 });
  await until("the job is up", () => spooled(world) === "up\n");
  await killed(child);
  await until("the job is gone", () => existsSync(filesOfTheOne(world).exit));
  await until("what it left is gone", () => countRunning(`sleep\0${nap}\0`) === 0);
  const [adopted] = await world.restart();
  const result = await adopted?.execution.result;
  expect(result).toMatchObject({ outcome: "timed_out", message: "timed out after 3000 ms", signal: "SIGKILL" });
});

test.for(["uid", "none"] as const)(
  "a job that is tried elsewhere ends before that although its runner is dead (%s)",
  async (isolation, { skip }) => {
    if (!(await canIsolate(isolation))) skip();
    await using world = await openWorld(isolation);
    const job = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"];
    const child = host(world, Infinity, job, { lostAfterMs: 2000 });
    await until("the job is up", () => spooled(world) === "up\n");
    await killed(child);
    await until("the job is gone", () => existsSync(filesOfTheOne(world).exit));
    const [adopted] = await world.restart();
    const message = "its runner was dead, and the control plane tries this workload elsewhere";
    expect(await adopted?.execution.result).toMatchObject({ outcome: "lost", message, signal: "SIGKILL" });
  },
);

test("a job whose runner lives is left to it, however long ago it had contact", async () => {
  await using world = await openWorld();
  const child = host(world, Infinity, ["sh", "-c", "echo up; sleep 60"], { lostAfterMs: 1000 });
  await until("the job is up", () => spooled(world) === "up\n");
  const { startTicks } = readWrapper(filesOfTheOne(world))!;
  await until("it would be tried elsewhere", () => bootTimeMs() > startTicks * 10 + 3000);
  expect(existsSync(filesOfTheOne(world).exit)).toBe(false);
  expect(existsSync(filesOfTheOne(world).ending)).toBe(false);
  await killed(child);
  await until("the job is gone", () => existsSync(filesOfTheOne(world).exit));
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ outcome: "lost" });
});

test("a runner killed while it fetches a source leaves no git behind, and its job is lost", async () => {
  await using world = await openWorld();
  const silent = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
  const connected = once(silent, "connection");
  await once(silent, "listening");
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/x.git`;
  const child = host(world, Infinity, ["true"], { gitUrl: url });
  const [socket] = (await connected) as [Socket];
  const cut = once(socket.resume(), "close");
  await killed(child);
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ outcome: "lost" });
  await cut;
  silent.close();
});
