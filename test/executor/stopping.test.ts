import { randomInt } from "node:crypto";
import { expect, test } from "vitest";

import { countRunning, openWorld, run, script, until } from "./support/world.ts";

const stubborn = script(
  "node",
  "process.on('SIGTERM', () => console.log('no')); setInterval(() => {}, 1000); console.log('up')",
);

test("a job past its time is ended and says so", async () => {
  await using world = await openWorld();
  const { result } = await run(world, ["sleep", "60"], { timeoutMs: 300 });
  expect(result).toMatchObject({ outcome: "timed_out", message: "timed out after 300 ms", signal: "SIGTERM" });
});

test("a stopped job may end by itself within the grace", async () => {
  await using world = await openWorld();
  const polite = script(
    "node",
    "process.on('SIGTERM', () => process.exit(5)); setInterval(() => {}, 1000); console.log('up')",
  );
  const { execution, log } = await world.start(polite);
  await until("the job is up", () => log.stdout() === "up\n");
  execution.stop({ graceMs: 10_000, reason: "stopped by ada" });
  expect(await execution.result).toMatchObject({ outcome: "stopped", exitCode: 5, message: "stopped by ada" });
});

test("a job that ignores the stop is killed after the grace", async () => {
  await using world = await openWorld();
  const { execution, log } = await world.start(stubborn);
  await until("the job is up", () => log.stdout() === "up\n");
  execution.stop({ graceMs: 200, reason: "stopped by ada" });
  expect(await execution.result).toMatchObject({ outcome: "stopped", signal: "SIGKILL" });
  expect(log.stdout()).toBe("up\nno\n");
});

test("a second stop shortens the grace and keeps the first reason", async () => {
  await using world = await openWorld();
  const { execution, log } = await world.start(stubborn);
  await until("the job is up", () => log.stdout() === "up\n");
  execution.stop({ graceMs: 60_000, reason: "first" });
  execution.stop({ graceMs: 0, reason: "second" });
  expect(await execution.result).toMatchObject({ outcome: "stopped", signal: "SIGKILL", message: "first" });
});

test("a job in a stopped state can be stopped", async () => {
  await using world = await openWorld();
  const { execution, log } = await world.start(["sh", "-c", "echo up; kill -STOP $$"]);
  await until("the job is up", () => log.stdout() === "up\n");
  execution.stop({ graceMs: 60_000, reason: "stopped" });
  expect(await execution.result).toMatchObject({ outcome: "stopped", signal: "SIGTERM" });
});

test.for(["ends by itself", "is stopped"])("what left the session of a job that %s is killed", async (how) => {
  await using world = await openWorld();
  const nap = `3600.${randomInt(1e9)}`;
  const escape = `setsid sleep ${nap} & while ! grep -qs "^sleep" /proc/$!/cmdline; do sleep 0.02; done; echo up`;
  const { execution, log } = await world.start([
    "sh",
    "-c",
    how === "is stopped" ? `${escape}; sleep 60` : `${escape}; sleep 0.2`,
  ]);
  await until("the runaway is up", () => log.stdout() === "up\n");
  if (how === "is stopped") execution.stop({ graceMs: 0, reason: "stopped" });
  await execution.result;
  expect(countRunning(`sleep\0${nap}\0`)).toBe(0);
});

test("what left the session and emptied its environment is killed, because it was seen before", async () => {
  await using world = await openWorld();
  const nap = `3600.${randomInt(1e9)}`;
  const { execution, log } = await world.start([
    "sh",
    "-c",
    `(env -i setsid sleep ${nap} &); sleep 0.5; echo up; sleep 60`,
  ]);
  await until("the runaway is up", () => log.stdout() === "up\n");
  expect(countRunning(`sleep\0${nap}\0`)).toBe(1);
  execution.stop({ graceMs: 0, reason: "stopped" });
  await execution.result;
  expect(countRunning(`sleep\0${nap}\0`)).toBe(0);
});

test("a job stopped right after its start is stopped", async () => {
  await using world = await openWorld();
  const { execution } = await world.start(["sleep", "60"]);
  execution.stop({ graceMs: 1000, reason: "changed our mind" });
  expect(await execution.result).toMatchObject({ outcome: "stopped", message: "changed our mind" });
});
