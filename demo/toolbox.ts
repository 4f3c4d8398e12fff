import { chmodSync, copyFileSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";

/** What of a package the compiler reads. */
const declarations = /\.d\.[cm]?ts$|^package\.json$/;

/**
 * Copies what the workload needs of the installed packages to `directory`, readable for every user: the compiler, the linter of the
 * contract and the declarations of the packages. A job runs under a user of its own, which may not enter where the checkout lies.
 */
export function fillToolbox(modules: string, directory: string): void {
  const installed = realpathSync(modules);
  const machine = `${process.platform}-${process.arch}`;
  const compiler = join(installed, "@typescript", `typescript-${machine}`, "lib");
  const linter = join(installed, "@bufbuild", `buf-${machine.replace(/arm64$/, "aarch64")}`, "bin", "buf");
  copyFiles(compiler, join(directory, "typescript"), () => true);
  mkdirSync(join(directory, "bin"), { recursive: true });
  copyFile(linter, join(directory, "bin", "buf"));
  symlinkSync("../typescript/tsc", join(directory, "bin", "tsc"));
  copyFiles(installed, join(directory, "node_modules"), (name) => declarations.test(name));
}

/** Links are followed nowhere: packages hold none that matter here. */
function copyFiles(from: string, to: string, isWanted: (name: string) => boolean): void {
  let isMade = false;
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) copyFiles(join(from, entry.name), join(to, entry.name), isWanted);
    if (!entry.isFile() || !isWanted(entry.name)) continue;
    if (!isMade) mkdirSync(to, { recursive: true });
    isMade = true;
    copyFile(join(from, entry.name), join(to, entry.name));
  }
}

function copyFile(from: string, to: string): void {
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}
