import { spawnSync } from "node:child_process";
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** Held until `release`, or until this process dies in whatever way. */
export type OwnerLock = { release(): void };

const lockFile = "owner.lock";
const lockTimeoutMs = 5000;

/**
 * Makes this process the one live owner of `directory`, or throws an error that names the process that is.
 *
 * It is `flock(2)` on a file that stays. Node has no such call, but the lock belongs to the open file and not to who asked for it:
 * the program `flock` locks the descriptor it inherits, exits, and the lock stays with ours. The kernel drops it when this process
 * is gone, so no stale lock is ever to be judged, and two that start at once cannot both get it. (A socket file has to be removed
 * by guesswork after a crash and has a short path; an abstract socket is not seen from another network namespace and can be taken
 * by any user.) Node opens files close-on-exec, so no job inherits it.
 */
export function acquireOwnerLock(directory: string): OwnerLock {
  const path = join(directory, lockFile);
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    lock(file, directory, path);
    ftruncateSync(file);
    writeSync(file, `${process.pid}\n`, 0);
  } catch (error) {
    closeSync(file);
    throw error;
  }
  let isHeld = true;
  return {
    release() {
      if (isHeld) closeSync(file);
      isHeld = false;
    },
  };
}

function lock(file: number, directory: string, path: string): void {
  const { error, status } = spawnSync("flock", ["--exclusive", "--nonblock", "3"], {
    stdio: ["ignore", "ignore", "ignore", file],
    timeout: lockTimeoutMs,
  });
  if (error)
    throw new Error(`directory ${directory} cannot be locked: ${error.message} (flock of util-linux is needed)`);
  if (status === 0) return;
  const owner = /^[0-9]+/.exec(readFileSync(path, "latin1"))?.[0];
  throw new Error(
    `directory ${directory} is in use by ${owner === undefined ? "another process" : `process ${owner}`}`,
  );
}
