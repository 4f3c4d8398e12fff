import { readFileSync, readdirSync, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import type { ProcessIdentity } from "./record.ts";

/** One process of the machine, as `/proc/<pid>/stat` tells (man 5 proc). */
export type Process = {
  pid: number;
  state: string;
  parentPid: number;
  groupId: number;
  sessionId: number;
  /** Of the process and of the children it waited for, in ticks of 10 ms. */
  cpuTicks: number;
  startTicks: number;
  residentBytes: number;
};

/** Linux reports times to user space in hundredths of a second on every architecture (USER_HZ). */
export const msPerTick = 10;
const pageBytes = 4096;

/** One line of `/proc/<pid>/stat`. The name, in parentheses, may hold anything, also parentheses. */
export function parseStat(text: string): Process | undefined {
  const pid = Number.parseInt(text, 10);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (!Number.isInteger(pid) || fields.length < 22) return undefined;
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid,
    state: fields[0] ?? "",
    parentPid: field(4),
    groupId: field(5),
    sessionId: field(6),
    cpuTicks: field(14) + field(15) + field(16) + field(17),
    startTicks: field(22),
    residentBytes: field(24) * pageBytes,
  };
}

/** `undefined` where there is no such process, or none that may be seen. */
export function readProcess(pid: number): Process | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/** Every process there is; those that end while being read are left out. */
export function readProcesses(): Process[] {
  const pids = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
  return pids.map((pid) => readProcess(Number(pid))).filter((process) => process !== undefined);
}

/** Whether the process is still the one that was recorded, and not a zombie. */
export function isAlive({ pid, startTicks }: ProcessIdentity): boolean {
  const process = readProcess(pid);
  return process !== undefined && process.startTicks === startTicks && process.state !== "Z";
}

/** By what the processes of one job are known. */
export type JobMark = {
  wrapper: ProcessIdentity | undefined;
  /** Nothing that started earlier can be of the job, whatever else speaks for it: what is found is killed. */
  notBeforeTicks: number;
  /** Leader of the job's session. */
  jobPid: number | undefined;
  /** The user of this job alone, where it has one. */
  uid: number | undefined;
  /** Entries of the environment that every process of the job inherits, unless it takes care not to. None: nothing is known by them. */
  environment: string[];
  /** Processes that were seen to belong to the job before: a double fork hides a descent, but not from who looked earlier. */
  seen: ReadonlyMap<number, number>;
};

/** The processes of a job by descent, session, group and earlier sight, its wrapper and zombies left out. Pure. */
export function jobProcesses(all: readonly Process[], mark: JobMark): Process[] {
  const leader = all.find((process) => process.pid === mark.jobPid);
  const isStranger = leader !== undefined && leader.parentPid !== mark.wrapper?.pid;
  const jobPid = isStranger ? undefined : mark.jobPid;
  const children = new Map<number, Process[]>();
  for (const process of all) {
    const siblings = children.get(process.parentPid);
    if (siblings) siblings.push(process);
    else children.set(process.parentPid, [process]);
  }
  const found = new Map<number, Process>();
  const add = (process: Process): void => {
    if (found.has(process.pid) || !canBelong(process, mark)) return;
    found.set(process.pid, process);
    for (const child of children.get(process.pid) ?? []) add(child);
  };
  for (const process of all) {
    const isOfSession = jobPid !== undefined && (process.sessionId === jobPid || process.groupId === jobPid);
    if (isOfSession || mark.seen.get(process.pid) === process.startTicks) add(process);
  }
  return [...found.values()].filter((process) => process.state !== "Z");
}

function canBelong({ pid, startTicks }: Process, mark: JobMark): boolean {
  return pid > 1 && pid !== process.pid && pid !== mark.wrapper?.pid && startTicks >= mark.notBeforeTicks;
}

/** All that `jobProcesses` finds, and what only its user or its environment gives away. */
export function findJobProcesses(mark: JobMark): Process[] {
  const all = readProcesses().filter((process) => process.state !== "Z");
  const found = new Set(jobProcesses(all, mark).map((process) => process.pid));
  return all.filter((candidate) => {
    if (found.has(candidate.pid)) return true;
    if (!canBelong(candidate, mark)) return false;
    return mark.uid === undefined ? carries(candidate, mark.environment) : isOfUser(candidate, mark.uid);
  });
}

function isOfUser({ pid }: Process, uid: number): boolean {
  try {
    return statSync(`/proc/${pid}`).uid === uid;
  } catch {
    return false;
  }
}

function carries({ pid }: Process, entries: readonly string[]): boolean {
  if (entries.length === 0) return false;
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    return entries.every((entry) => environment.includes(entry));
  } catch {
    return false;
  }
}

/** Sends a signal; a process or group that is gone is no fault. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

const killRounds = 100;
const killRoundMs = 20;

/** Kills the job's processes until none is found. `false`: some were still there after 2 s (stuck in the kernel, or forking faster). */
export async function killRemains(mark: JobMark): Promise<boolean> {
  for (let round = 0; round < killRounds; round++) {
    const remains = findJobProcesses(mark);
    if (remains.length === 0) return true;
    for (const { pid } of remains) signal(pid, "SIGKILL");
    await delay(killRoundMs);
  }
  return false;
}
