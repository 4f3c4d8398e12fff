import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { createWorld, script, until, untilEnded } from "../support/world.ts";

const mebibyte = 1024 * 1024;
const line_bytes = 128 * mebibyte;

/** The most memory that a process has held so far. */
async function peakOf_bytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

test("bad-39: one line of 128 MB passes through runner and server without being held by either", async () => {
  await using world = await createWorld({ lease: "10s" });
  const runner = world.startRunner(await world.register("build-1"));
  const text = `head -c ${line_bytes} /dev/zero | tr '\\0' z; echo; echo after`;
  const before_bytes = process.memoryUsage().rss;

  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(text) });
  await untilEnded(world.admin, workload!.id, 50_000);
  const end = await until("the end of the log", async () => {
    const read = await world.admin.logs.readLog({ workload: workload!.id, from: { case: "tail", value: 1 } });
    return read.ended && read;
  });

  expect(Buffer.from(end.lines[0]!.content).toString()).toBe("after");
  expect(end.nextLine).toBeGreaterThan(2000n);
  // This process is the server's as well.
  expect(process.memoryUsage().rss - before_bytes).toBeLessThan(line_bytes);
  // Of which Node itself takes about 120.
  expect(await peakOf_bytes(runner.process.pid!)).toBeLessThan(320 * mebibyte);
});
