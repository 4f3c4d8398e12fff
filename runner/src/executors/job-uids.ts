import { randomInt } from "node:crypto";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** User ids for jobs, both ends included. No account of the machine may lie in it. */
export type UidRange = { first: number; last: number };

/** Above what distributions give to people, to services and to the containers of the first user. */
export const defaultUidRange: UidRange = { first: 200_000, last: 265_535 };

/**
 * Where the claims of all runners of this machine lie, one file a uid: two runners of root must not give one uid to two jobs.
 * `/run` is emptied at boot, when no job is left that could have one.
 */
export const defaultClaimsDirectory = "/run/agyn/uids";

const attempts = 1000;

/** Claims a uid that no runner's job has and no process runs as. `owner` is the directory of the execution. */
export function claimUid(claimsDirectory: string, range: UidRange, owner: string): number {
  mkdirSync(claimsDirectory, { recursive: true, mode: 0o700 });
  if (lstatSync(claimsDirectory).uid !== process.getuid?.()) {
    throw new Error(`directory ${claimsDirectory} of the uids of jobs belongs to another user`);
  }
  const inUse = runningUids();
  for (let attempt = 0; attempt < attempts; attempt++) {
    const uid = randomInt(range.first, range.last + 1);
    if (!inUse.has(uid) && claim(join(claimsDirectory, String(uid)), owner)) return uid;
  }
  throw new Error(`no free uid for a job between ${range.first} and ${range.last} after ${attempts} attempts`);
}

function claim(path: string, owner: string): boolean {
  try {
    const file = openSync(path, "wx", 0o600);
    writeFileSync(file, owner);
    closeSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Gives a uid back, if `owner` still has it. */
export function releaseUid(claimsDirectory: string, uid: number, owner: string): void {
  const path = join(claimsDirectory, String(uid));
  try {
    if (readFileSync(path, "utf8") === owner) rmSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function runningUids(): Set<number> {
  const uids = new Set<number>();
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const status = statSync(`/proc/${name}`, { throwIfNoEntry: false });
    if (status) uids.add(status.uid);
  }
  return uids;
}
