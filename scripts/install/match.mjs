import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Whether every package of package-lock.json that every machine needs is in its place, in the version of the lock.
 * Optional packages are chosen by platform, so their absence says nothing. npm's own record in node_modules is not
 * asked: `npm install --package-lock-only` writes it without installing anything.
 * @param {string} directory the folder of package.json
 */
export function matchesLock(directory) {
  const { packages } = JSON.parse(readFileSync(join(directory, "package-lock.json"), "utf8"));
  return Object.entries(packages).every(([path, entry]) => {
    if (path === "" || entry.optional === true || entry.devOptional === true) return true;
    return entry.link === true
      ? existsSync(join(directory, path))
      : readVersion(join(directory, path)) === entry.version;
  });
}

/**
 * Whether an optional package of package-lock.json that is for this machine is not there.
 * @param {string} directory the folder of package.json
 */
export function missesOptional(directory) {
  const { packages } = JSON.parse(readFileSync(join(directory, "package-lock.json"), "utf8"));
  return Object.entries(packages).some(([path, { os, cpu, libc, optional, devOptional }]) => {
    if (optional !== true && devOptional !== true) return false;
    if (os?.includes(process.platform) !== true || cpu?.includes(process.arch) !== true) return false;
    // The Node that package.json asks for runs with glibc only.
    return (libc ?? ["glibc"]).includes("glibc") && !existsSync(join(directory, path));
  });
}

function readVersion(packageDirectory) {
  try {
    return JSON.parse(readFileSync(join(packageDirectory, "package.json"), "utf8")).version;
  } catch {
    return undefined;
  }
}
