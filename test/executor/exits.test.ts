import { expect, test } from "vitest";

import { createGate, openWorld, run, script, until } from "./support/world.ts";

test("a job that exits by itself gives its code", async () => {
  await using world = await openWorld();
  const { result, log } = await run(world, ["sh", "-c", "echo out; echo err >&2; exit 3"]);
  expect(result).toMatchObject({ outcome: "exited", exitCode: 3, message: "exited with code 3" });
  expect(log.stdout()).toBe("out\n");
  expect(log.stderr()).toBe("err\n");
  expect(result.endTime.getTime()).toBeGreaterThanOrEqual(result.startTime.getTime());
});

test("a job that a signal ends gives the signal", async () => {
  await using world = await openWorld();
  const { result, log } = await run(world, ["sh", "-c", "kill -SEGV $$"]);
  expect(result).toMatchObject({ outcome: "signalled", signal: "SIGSEGV", exitCode: 139 });
  expect(log.stderr()).toBe("");
});

test("a command that is not there is a failed start that names it", async () => {
  await using world = await openWorld();
  const { result, log } = await run(world, ["no-such-command", "x"]);
  expect(result).toMatchObject({ outcome: "start_failed", message: "command not found: no-such-command" });
  expect(log.hasStarted()).toBe(false);
});

test("a command that is no program is a failed start", async () => {
  await using world = await openWorld();
  const { result } = await run(world, ["/etc/passwd"]);
  expect(result).toMatchObject({ outcome: "start_failed", message: "command cannot be executed: /etc/passwd" });
});

test("arguments arrive as they are given, whatever a shell would make of them", async () => {
  await using world = await openWorld();
  const hostile = ["$(id)", "`id`", "a  b", "'", '"', "*", ";id", "", "-n", "line\nbreak", "\\"];
  const { log } = await run(world, [
    "node",
    "-e",
    "console.log(JSON.stringify(process.argv.slice(1)))",
    "--",
    ...hostile,
  ]);
  expect(JSON.parse(log.stdout())).toEqual(hostile);
});

test("the first failing command ends a shell script", async () => {
  await using world = await openWorld();
  const { result, log } = await run(world, script("sh", "echo one\nfalse\necho two"));
  expect(result.exitCode).toBe(1);
  expect(log.stdout()).toBe("one\n");
});

test("the CPU time of the job's children counts", async () => {
  await using world = await openWorld();
  const spin =
    "for (let used = 0; used < 300000; ) { const { user, system } = process.cpuUsage(); used = user + system; }";
  const { result } = await run(world, ["sh", "-c", 'node -e "$0"; :', spin]);
  expect(result.cpuMs).toBeGreaterThan(290);
  expect(result.cpuMs).toBeLessThan(10_000);
});

test("the peak of the memory is seen, and marked where it was sampled", async () => {
  await using world = await openWorld();
  const gate = createGate(world);
  const hold = `const held = Buffer.alloc(150 * 2 ** 20, 1);
    setInterval(() => require("fs").existsSync(process.argv[1]) && process.exit(held.length % 2), 20)`;
  const { execution } = await world.start(["node", "-e", hold, gate.path]);
  await until("it is seen", () => execution.usage().memoryPeakBytes > 150 * 2 ** 20);
  gate.open();
  const result = await execution.result;
  expect(result.memoryPeakBytes).toBeGreaterThan(150 * 2 ** 20);
  expect(["sampled", "cgroup"]).toContain(result.memorySource);
});

test("a workload that is already here is refused", async () => {
  await using world = await openWorld();
  const { spec } = await run(world, ["true"]);
  const again = await run(world, ["true"], { workloadId: spec.workloadId });
  expect(again.result).toMatchObject({
    outcome: "start_failed",
    message: `workload ${spec.workloadId} with fence 7 is already on this runner`,
  });
});
