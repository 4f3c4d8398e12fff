// One install at a time in one folder. The lock is a file made by link(2), so it appears with its content.
// It names the processes that work under it and is touched while they do; it is stale when none of them lives
// or when it has not been touched for a while (a process id of another container says nothing).

import { linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { InstallError } from "./errors.mjs";

const touchPeriod_ms = 5_000;
const staleAfter_ms = 60_000;
const pollPeriod_ms = 100;
const waitLimit_ms = 900_000;

/**
 * Runs `work` while holding the lock at `path`; waits for another holder first.
 * @template T
 * @param {string} path
 * @param {(lock: { addProcess: (pid: number) => void }) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(path, work) {
  await acquire(path);
  const touch = setInterval(() => touchFile(path), touchPeriod_ms);
  const release = () => rmSync(path, { force: true });
  process.once("exit", release);
  try {
    return await work({ addProcess: (pid) => writeFileSync(path, `${process.pid} ${pid}`) });
  } finally {
    clearInterval(touch);
    process.removeListener("exit", release);
    release();
  }
}

async function acquire(path) {
  const deadline_ms = Date.now() + waitLimit_ms;
  let told = false;
  while (!tryCreate(path)) {
    const holder = readHolder(path);
    if (holder !== undefined && isStale(holder)) {
      breakLock(path, holder.text);
      continue;
    }
    if (Date.now() > deadline_ms) throw new InstallError(`another install holds ${path}: end it or remove that file`);
    if (!told && holder !== undefined)
      process.stderr.write(`waiting for the install of process ${holder.pids[0]} ...\n`);
    told ||= holder !== undefined;
    await delay(pollPeriod_ms);
  }
}

function tryCreate(path) {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${process.pid}`);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function readHolder(path) {
  try {
    const text = readFileSync(path, "utf8");
    return { text, pids: text.split(" ").map(Number), touched_ms: statSync(path).mtimeMs };
  } catch {
    return undefined;
  }
}

function isStale({ pids, touched_ms }) {
  return Date.now() - touched_ms > staleAfter_ms || !pids.some(isAlive);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Takes a stale lock away. Two may try: what was taken is looked at once more, and put back if it was somebody's new lock. */
function breakLock(path, staleText) {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
    if (readFileSync(aside, "utf8") !== staleText) linkSync(aside, path);
  } catch {
    // Somebody else was quicker; the next turn of the loop sees what they left.
  } finally {
    rmSync(aside, { force: true });
  }
}

function touchFile(path) {
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // The lock was removed by hand: the work goes on, as its end is near.
  }
}
