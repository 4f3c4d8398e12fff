// Runs a script with the Node that package.json asks for, installing first what is missing:
// `node scripts/run.mjs demo/demo.ts ARGUMENTS`. Plain JavaScript for Node >= 18.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, join } from "node:path";
import { InstallError } from "./install/errors.mjs";
import { fail, install, root } from "./install.mjs";

const [entry, ...args] = process.argv.slice(2);

async function main() {
  if (entry === undefined) throw new InstallError("usage: node scripts/run.mjs SCRIPT [ARGUMENTS]");
  await install();
  const script = join(root, entry);
  if (!existsSync(script))
    throw new InstallError(`${entry} is not in this checkout: run \`git status\` to see what is missing`);
  const binaries = join(root, "node_modules", ".bin");
  const env = {
    // What Node makes of the sources is kept beside them, as the launchers do: a start takes half of the time.
    NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "agyn"),
    ...process.env,
    PATH: `${binaries}${delimiter}${process.env.PATH ?? ""}`,
  };
  become(join(binaries, "node"), [script, ...args], env);
}

/** Lets this process be that of `file`; where Node cannot replace a process, stands aside and passes on signals and status. */
function become(file, commandLine, env) {
  if (typeof process.execve === "function") process.execve(file, [file, ...commandLine], env);
  const child = spawn(file, commandLine, { stdio: "inherit", env });
  // SIGINT and SIGQUIT of a terminal reach the whole group; sent to this process alone, they are passed on as well.
  const terminal = process.stdin.isTTY === true;
  for (const signal of ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"]) {
    const fromTerminal = terminal && (signal === "SIGINT" || signal === "SIGQUIT");
    process.on(signal, () => fromTerminal || child.kill(signal));
  }
  child.once("error", fail);
  child.once("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

main().catch(fail);
