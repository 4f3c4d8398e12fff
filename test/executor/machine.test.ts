import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

import { atBootTime, bootTimeMs, parseUptimeMs } from "../../runner/src/boot-clock.ts";
import { parseStat } from "../../runner/src/executors/process-tree.ts";
import {
  metricsBetween,
  parseCpuTicks,
  parseDisk,
  parseMemory,
  parseNetwork,
  readMachineCounters,
} from "../../runner/src/machine-metrics.ts";
import { readMachine } from "../../runner/src/machine.ts";
import { acquireOwnerLock } from "../../runner/src/owner-lock.ts";

test("the machine is described, with what is found on it", async () => {
  const machine = await readMachine();
  expect(machine).toMatchObject({
    os: process.platform,
    arch: process.arch,
    cpus: cpus().length,
    memoryBytes: totalmem(),
  });
  expect(machine.bootId).toMatch(/^[0-9a-f-]{36}$/);
  expect(machine.found.map(({ name }) => name)).toContain("node");
});

test("the work of a core shows in the metrics between two readings", () => {
  const before = readMachineCounters();
  for (const end = performance.now() + 300; performance.now() < end;);
  const metrics = metricsBetween(before, readMachineCounters());
  expect(metrics.cores.length).toBe(cpus().length);
  expect(Math.max(...metrics.cores)).toBeGreaterThan(0.5);
  expect(metrics.memoryUsedBytes + metrics.memoryAvailableBytes).toBe(metrics.memoryTotalBytes);
});

test("the texts of /proc are read as documented", () => {
  const { cpu, cores } = parseCpuTicks("cpu  10 1 5 80 4 0 0 0 3 0\ncpu0 10 1 5 80 4 0 0 0 3 0\nintr 5\n");
  expect(cpu).toEqual({ busy: 16, total: 100 });
  expect(cores).toEqual([cpu]);
  expect(parseMemory("MemTotal:  100 kB\nMemFree: 5 kB\nMemAvailable:  40 kB\n")).toEqual({
    totalBytes: 102_400,
    availableBytes: 40_960,
  });
  const network = "Inter-|\n face |\n    lo: 9 9 0 0 0 0 0 0 9 9\n  eth0: 100 1 0 0 0 0 0 0 200 2\n";
  expect(parseNetwork(network)).toEqual({ receivedBytes: 100, sentBytes: 200 });
  const disks = " 8 0 sda 1 0 10 0 1 0 20 0\n 8 1 sda1 1 0 10 0 1 0 20 0\n";
  expect(parseDisk(disks, new Set(["sda"]))).toEqual({ readBytes: 5120, writtenBytes: 10_240 });
  expect(parseUptimeMs("123.45 678.90\n")).toBe(123_450);
});

test("a process whose name looks like a part of its own status is read right", () => {
  const stat = "42 (a) R 1 (b) S 7 8 9 0 0 0 0 0 0 0 3 4 5 6 20 0 1 0 777 0 10 0\n";
  expect(parseStat(stat)).toMatchObject({
    pid: 42,
    state: "S",
    parentPid: 7,
    groupId: 8,
    sessionId: 9,
    cpuTicks: 18,
    startTicks: 777,
  });
});

test("the boot clock goes on, and wakes who waits for a time of it", async () => {
  const atMs = bootTimeMs() + 50;
  await new Promise<void>((resolve) => void atBootTime(atMs, resolve));
  expect(bootTimeMs()).toBeGreaterThanOrEqual(atMs);
});

test("a directory has one live owner, and a killed owner leaves it free", async () => {
  const directory = mkdtempSync(join(tmpdir(), "agyn-lock-"));
  const module = join(import.meta.dirname, "../../runner/src/owner-lock.ts");
  const hold = `import { acquireOwnerLock } from ${JSON.stringify(module)}; acquireOwnerLock(${JSON.stringify(directory)}); console.log("held"); setInterval(() => {}, 1000)`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", hold], { stdio: ["ignore", "pipe", "inherit"] });
  await once(owner.stdout, "data");
  expect(() => acquireOwnerLock(directory)).toThrow(`directory ${directory} is in use by process ${owner.pid}`);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  acquireOwnerLock(directory).release();
  acquireOwnerLock(directory).release();
  rmSync(directory, { recursive: true });
});
