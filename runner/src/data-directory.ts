/** The directory in which a runner keeps what it has, owned by one process at a time. */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { FatalError } from "./fatal-error.ts";
import { acquireOwnerLock } from "./owner-lock.ts";
import { messageOf } from "./refusal.ts";

export type DataDirectory = {
  path: string;
  /** Lets it go. A temporary one is removed. */
  release(): void;
  /** Lets it go and removes what this process made for it; where the directory was there before, nothing. */
  takeBack(): void;
};

/** Makes and locks the directory, a temporary one for `undefined`. Throws a `FatalError`. */
export function openDataDirectory(wanted: string | undefined): DataDirectory {
  const { path, firstMade } = make(wanted);
  const release = own(path, firstMade);
  const removeMade = (): void => {
    if (firstMade !== undefined) removeDown(path, firstMade);
  };
  return {
    path,
    release() {
      if (wanted === undefined) removeMade();
      release();
    },
    takeBack() {
      removeMade();
      release();
    },
  };
}

/** `firstMade`: the highest directory that was not there. */
function make(wanted: string | undefined): { path: string; firstMade: string | undefined } {
  try {
    if (wanted === undefined) {
      const path = mkdtempSync(join(tmpdir(), "agyn-runner-"));
      return { path, firstMade: path };
    }
    return { path: wanted, firstMade: makeDown(wanted) };
  } catch (error) {
    throw new FatalError("usage", `the data directory cannot be made: ${messageOf(error)}`);
  }
}

/**
 * Makes a directory with those above it that are missing; answers the highest that it made. Unlike `mkdirSync` with `recursive` it says
 * so where nothing can be made although what is above is there, as below `/proc`.
 */
function makeDown(path: string): string | undefined {
  try {
    return makeOne(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || dirname(path) === path) throw error;
  }
  const highest = makeDown(dirname(path));
  const made = makeOne(path);
  return highest ?? made;
}

/** `undefined`: it was there already. */
function makeOne(path: string): string | undefined {
  try {
    mkdirSync(path, { mode: 0o700 });
    return path;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST" && statSync(path).isDirectory()) return undefined;
    throw error;
  }
}

function own(path: string, firstMade: string | undefined): () => void {
  try {
    return acquireOwnerLock(path).release;
  } catch (error) {
    if (firstMade !== undefined) removeParents(path, firstMade);
    throw new FatalError("in_use", messageOf(error));
  }
}

function removeDown(path: string, firstMade: string): void {
  rmSync(path, { recursive: true, force: true });
  if (path !== firstMade) removeParents(dirname(path), firstMade);
}

/** Up to `last`, as far as nobody has put something there. */
function removeParents(first: string, last: string): void {
  try {
    for (let directory = first; directory.startsWith(last); directory = dirname(directory)) rmdirSync(directory);
  } catch {
    // Somebody uses one of them.
  }
}
