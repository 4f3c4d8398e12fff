import { createHash } from "node:crypto";
import { chownSync, lstatSync, mkdirSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize, resolve } from "node:path";

import type { Command, Isolation, ScriptShell, WorkloadSpec } from "./executor.ts";

/** Where a directory below which other users' processes must pass can lie when the runner's own place is closed to them. */
const openParent = "/var/tmp";

/**
 * The directory below which each job gets its own. A job with its own uid must be able to pass through all parents, so where
 * one of them is closed to others the place is `/var/tmp/agyn-<hash of the wanted path>` instead.
 */
export function openJobRoot(wanted: string, isolation: Isolation): string {
  const absolute = resolve(wanted);
  if (isolation !== "uid") {
    mkdirSync(absolute, { recursive: true, mode: 0o700 });
    return absolute;
  }
  mkdirSync(absolute, { recursive: true, mode: 0o711 });
  if (isPassable(absolute)) return absolute;
  const open = standInFor(absolute);
  mkdirSync(open, { recursive: true, mode: 0o711 });
  const status = lstatSync(open);
  if (!status.isDirectory() || status.uid !== process.getuid?.() || (status.mode & 0o022) !== 0) {
    throw new Error(`directory ${open} for the workspaces of jobs is not this user's own`);
  }
  return open;
}

/** Where jobs lie whose runner's own place is closed to them. */
export function standInFor(wanted: string): string {
  const hash = createHash("sha256").update(resolve(wanted)).digest("hex").slice(0, 16);
  return join(openParent, `agyn-${hash}`);
}

/** Takes the stand-in away when no job is left in it. */
export function leaveJobRoot(wanted: string): void {
  try {
    rmdirSync(standInFor(wanted));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "EACCES") throw error;
  }
}

/** Whether every directory from the root down to `path` lets other users through. */
export function isPassable(path: string): boolean {
  for (let directory = resolve(path); ; directory = dirname(directory)) {
    if ((statSync(directory).mode & 0o001) === 0) return false;
    if (directory === dirname(directory)) return true;
  }
}

/** The parts of a job's own directory. `HOME` and `TMPDIR` lie beside the workspace, so that they do not litter a checkout. */
export function jobPaths(jobDirectory: string) {
  return {
    workspace: join(jobDirectory, "workspace"),
    home: join(jobDirectory, "home"),
    temporary: join(jobDirectory, "tmp"),
  };
}

const scriptFiles: Record<ScriptShell, { name: string; argv: string[] }> = {
  sh: { name: "script.sh", argv: ["sh", "-e"] },
  bash: { name: "script.bash", argv: ["bash", "-e"] },
  node: { name: "script.js", argv: ["node"] },
  python3: { name: "script.py", argv: ["python3"] },
};

/** The argument vector of a command. The shells run scripts with `-e`: the first command that fails ends the job. */
export function commandArgv(command: Command, jobDirectory: string): string[] {
  if (command.kind === "argv") return command.argv;
  const { name, argv } = scriptFiles[command.shell];
  return [...argv, join(jobDirectory, name)];
}

/** Makes the job's directory, 0700 and its user's own, with the script in it if there is one. */
export function createJobDirectory(jobDirectory: string, command: Command, uid: number | undefined): void {
  const { workspace, home, temporary } = jobPaths(jobDirectory);
  const made = [jobDirectory, workspace, home, temporary];
  for (const directory of made) mkdirSync(directory, { mode: 0o700 });
  if (command.kind === "script") {
    const script = join(jobDirectory, scriptFiles[command.shell].name);
    writeFileSync(script, command.script, { mode: 0o600, flag: "wx" });
    made.push(script);
  }
  if (uid !== undefined) for (const path of made.reverse()) chownSync(path, uid, uid);
}

/** The directory in which the job starts. */
export function startDirectory(spec: WorkloadSpec, jobDirectory: string): string {
  return join(jobPaths(jobDirectory).workspace, spec.workingDirectory ?? ".");
}

/** Why a working directory is refused, or `undefined`. */
export function workingDirectoryFault(path: string): string | undefined {
  if (path.includes("\0") || isAbsolute(path) || normalize(path).split("/").includes("..")) {
    return `working directory ${JSON.stringify(path)} is not a relative path inside the workspace`;
  }
  return undefined;
}

/** Removes the job's directory and everything in it; links are removed, not followed. */
export async function removeJobDirectory(jobDirectory: string): Promise<void> {
  await rm(jobDirectory, { recursive: true, force: true, maxRetries: 3 });
}
