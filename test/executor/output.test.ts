import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { executionFiles } from "../../runner/src/executors/record.ts";
import { createGate, openWorld, run, until } from "./support/world.ts";

test("ten megabytes in a burst arrive whole and in order", async () => {
  await using world = await openWorld();
  const count = 200_000;
  const line = (index: number): string => `line ${index} `.padEnd(52, "x");
  const burst = `for (let i = 0; i < ${count}; i++) console.log(("line " + i + " ").padEnd(52, "x"))`;
  const { log, result } = await run(world, ["node", "-e", burst]);
  expect(result.exitCode).toBe(0);
  const lines = log.stdout().split("\n");
  expect(lines.length).toBe(count + 1);
  expect(lines.findIndex((text, index) => index < count && text !== line(index))).toBe(-1);
});

test("bytes that are no text arrive as they are", async () => {
  await using world = await openWorld();
  const { log } = await run(world, ["printf", "\\377\\000\\r\\n"]);
  expect(Buffer.byteLength(log.stdout())).toBe(Buffer.from([255, 0, 13, 10]).toString().length + 2);
});

test("a sink that pauses holds the job up, and loses nothing when it goes on", async () => {
  await using world = await openWorld();
  const { execution, log } = await world.start(["seq", "1", "200000"]);
  log.pauses = true;
  await until("something came", () => log.stdout() !== "");
  const held = log.stdout().length;
  const another = await run(world, ["true"]);
  expect(another.result.exitCode).toBe(0);
  expect(log.stdout().length).toBe(held);
  log.pauses = false;
  execution.resume();
  expect((await execution.result).exitCode).toBe(0);
  const lines = log.stdout().split("\n");
  expect(lines.length).toBe(200_001);
  expect(lines[199_999]).toBe("200000");
});

test("output written just before the end is not lost while the sink pauses", async () => {
  await using world = await openWorld();
  const gate = createGate(world);
  const { execution, log, spec } = await world.start(["sh", "-c", `echo one; ${gate.wait}; echo two`]);
  log.pauses = true;
  await until("the first line came", () => log.stdout() === "one\n");
  log.pauses = false;
  gate.open();
  const { exit } = executionFiles(join(world.options.directory, `${spec.workloadId}.${spec.fence}`));
  await until("the job has ended", () => existsSync(exit));
  expect(log.stdout()).toBe("one\n");
  execution.resume();
  await execution.result;
  expect(log.stdout()).toBe("one\ntwo\n");
});
