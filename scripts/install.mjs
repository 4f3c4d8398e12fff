// Makes sure that the dependencies are there and are those of package-lock.json.
// Plain JavaScript for Node >= 18: this is what runs before anything is installed.
//
// When nothing is to do it reads one file, compares one hash and returns in milliseconds. Otherwise it runs
// `npm install` under a lock, then repairs what npm leaves undone where it was told not to run install scripts.

import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { InstallError, unsupported } from "./install/errors.mjs";
import { withLock } from "./install/lock.mjs";
import { matchesLock, missesOptional } from "./install/match.mjs";
import { runNpmInstall } from "./install/npm.mjs";
import { repair } from "./install/repair.mjs";

/** The folder of the repository this file is in. */
export const root = resolve(fileURLToPath(new URL("..", import.meta.url)));

/**
 * Installs into `directory` unless that is already done.
 * @param {string} directory the folder of package.json
 * @returns {Promise<void>} rejects with an InstallError that says what to do
 */
export async function install(directory = root) {
  const wanted = fingerprint(directory);
  if (isInstalled(directory, wanted)) return;
  const problem = unsupported(process);
  if (problem !== undefined) throw new InstallError(problem);
  if (isLinked(directory)) return;
  mkdirSync(join(directory, "node_modules"), { recursive: true });
  await withLock(join(directory, "node_modules", ".agyn-install-lock"), async (lock) => {
    if (isInstalled(directory, wanted)) return;
    if (!matchesLock(directory)) await runNpm(directory, lock);
    await repair(directory);
    // npm passes over optional packages that want a newer Node than the one it runs on; the one it has just brought will do.
    if (missesOptional(directory)) await runNpmInstall(directory, lock, join(directory, "node_modules", ".bin"));
    writeFileSync(stampPath(directory), `${wanted}\n`);
  });
}

async function runNpm(directory, lock) {
  const start_ms = Date.now();
  process.stderr.write("installing dependencies (once, about a minute) ...\n");
  await runNpmInstall(directory, lock);
  process.stderr.write(`installed in ${((Date.now() - start_ms) / 1000).toFixed(0)} s\n`);
}

/** The path of the file that says what was installed. */
function stampPath(directory) {
  return join(directory, "node_modules", ".agyn-installed");
}

/** What the installed packages depend on: the lock, and the machine they were chosen for. */
function fingerprint(directory) {
  const lock = readFileSync(join(directory, "package-lock.json"));
  return `${createHash("sha256").update(lock).digest("hex")} ${process.platform}-${process.arch}`;
}

function isInstalled(directory, wanted) {
  try {
    if (readFileSync(stampPath(directory), "utf8").trim() !== wanted) return false;
    accessSync(join(directory, "node_modules", ".bin", "node"), constants.X_OK);
  } catch {
    return false;
  }
  freshenStamp(directory);
  return true;
}

/** The launchers compare the ages of lock and stamp; a checkout that touched the lock without changing it must not cost them each time. */
function freshenStamp(directory) {
  const stamp = stampPath(directory);
  if (statSync(stamp).mtimeMs >= statSync(join(directory, "package-lock.json")).mtimeMs) return;
  try {
    utimesSync(stamp, new Date(), new Date());
  } catch {
    // Another user's checkout: the launchers ask again each time, which is slower and no less right.
  }
}

/** Whether node_modules is a link: it then belongs to another checkout, and must do as it is. */
function isLinked(directory) {
  const modules = join(directory, "node_modules");
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return false;
  if (matchesLock(directory)) return true;
  throw new InstallError(
    `${modules} is a symbolic link and what it leads to does not match package-lock.json: ` +
      "install where it leads to, or remove the link",
  );
}

/** Ends the process with one line for what went wrong. */
export function fail(error) {
  const text = error instanceof InstallError ? error.message : (error?.stack ?? String(error));
  process.stderr.write(`agyn: ${text}\n`);
  process.exit(1);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) {
  install().catch(fail);
}
