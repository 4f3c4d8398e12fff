import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";

import { type JobMark, type Process, findJobProcesses, jobProcesses } from "../../runner/src/executors/process-tree.ts";

const nothing: JobMark = {
  wrapper: undefined,
  notBeforeTicks: 0,
  jobPid: undefined,
  uid: undefined,
  environment: [],
  seen: new Map(),
};

function processOf(pid: number, parentPid: number, more: Partial<Process> = {}): Process {
  return {
    pid,
    parentPid,
    state: "S",
    groupId: pid,
    sessionId: pid,
    cpuTicks: 0,
    startTicks: 100,
    residentBytes: 0,
    ...more,
  };
}

const pids = (found: Process[]): number[] => found.map(({ pid }) => pid).sort((one, other) => one - other);

test("a mark that tells nothing finds no process of the machine", () => {
  expect(findJobProcesses(nothing)).toEqual([]);
  expect(findJobProcesses({ ...nothing, wrapper: { pid: 1, startTicks: 0 } })).toEqual([]);
});

test("a process older than the execution is never of it, whatever else speaks for it", async () => {
  const child = spawn("sleep", ["60"], { env: { AGYN_TEST_MARK: "older" }, stdio: "ignore" });
  await once(child, "spawn");
  const mark = { ...nothing, environment: ["AGYN_TEST_MARK=older"] };
  expect(pids(findJobProcesses(mark))).toEqual([child.pid]);
  expect(findJobProcesses({ ...mark, notBeforeTicks: Number.MAX_SAFE_INTEGER })).toEqual([]);
  child.kill("SIGKILL");
  await once(child, "exit");
});

test("the own process and the first of the machine are never found", () => {
  const all = [
    processOf(1, 0, { sessionId: 50 }),
    processOf(process.pid, 1, { sessionId: 50 }),
    processOf(51, 1, { sessionId: 50 }),
  ];
  expect(pids(jobProcesses(all, { ...nothing, jobPid: 50 }))).toEqual([51]);
});

test("a job's processes are found by session, group, descent and earlier sight", () => {
  const wrapper = { pid: 10, startTicks: 90 };
  const all = [
    processOf(10, 1, { startTicks: 90 }),
    processOf(20, 10),
    processOf(21, 20, { sessionId: 20 }),
    processOf(22, 21),
    processOf(23, 1, { groupId: 20 }),
    processOf(24, 1),
    processOf(25, 1, { startTicks: 101 }),
    processOf(26, 20, { state: "Z" }),
  ];
  const seen = new Map([
    [24, 100],
    [25, 100],
  ]);
  expect(pids(jobProcesses(all, { ...nothing, wrapper, notBeforeTicks: 90, jobPid: 20, seen }))).toEqual([
    20, 21, 22, 23, 24,
  ]);
});

test("a process that got the job's id later is a stranger, and so is its session", () => {
  const wrapper = { pid: 10, startTicks: 90 };
  const all = [processOf(10, 1, { startTicks: 90 }), processOf(20, 5), processOf(21, 20, { sessionId: 20 })];
  expect(jobProcesses(all, { ...nothing, wrapper, notBeforeTicks: 90, jobPid: 20 })).toEqual([]);
});
