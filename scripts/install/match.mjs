import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Whether npm's own record of what it installed holds every package of package-lock.json that every machine needs.
 * (Optional packages are chosen by platform, so their absence says nothing.)
 * @param {string} directory the folder of package.json
 */
export function matchesLock(directory) {
  const wanted = readPackages(join(directory, "package-lock.json"));
  const present = readPackages(join(directory, "node_modules", ".package-lock.json"));
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional, devOptional }]) =>
      path === "" ||
      optional === true ||
      devOptional === true ||
      (path in present && present[path].version === version),
  );
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined;
  }
}
