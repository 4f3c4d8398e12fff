import { spawn } from "node:child_process";
import { delimiter } from "node:path";
import { InstallError, explainNpmFailure } from "./errors.mjs";

const npmTimeout_ms = 600_000;
const keptOutput_bytes = 64 * 1024;

// `install` and not `ci`: where other platforms' optional packages cannot be seen, `ci` calls a right lock out of step.
// `--no-save` leaves package.json and package-lock.json as they are.
const npmArguments = [
  "install",
  "--no-save",
  "--no-audit",
  "--no-fund",
  "--include=dev",
  "--include=optional",
  "--loglevel=error",
  "--progress=false",
];

/**
 * Runs npm in `directory`.
 * @param {string} directory
 * @param {{ addProcess: (pid: number) => void }} lock told of npm's process
 * @param {string} [binaries] a directory whose Node npm is to run on
 * @returns {Promise<void>}
 */
export async function runNpmInstall(directory, lock, binaries) {
  const path = process.env.PATH ?? "";
  const env = { ...process.env, PATH: binaries === undefined ? path : `${binaries}${delimiter}${path}` };
  const onStart = (pid) => lock.addProcess(pid);
  const { code, output } = await run("npm", npmArguments, directory, { env, onStart });
  if (code !== 0) throw new InstallError(explainNpmFailure(output));
}

/**
 * Runs a command to its end and keeps the end of what it wrote.
 * @param {string} command
 * @param {string[]} args
 * @param {string} cwd
 * @param {{ env?: NodeJS.ProcessEnv, onStart?: (pid: number) => void }} [options]
 * @returns {Promise<{ code: number, output: string }>}
 */
export function run(command, args, cwd, { env = process.env, onStart } = {}) {
  return new Promise((settle, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], timeout: npmTimeout_ms });
    let output = "";
    const keep = (chunk) => {
      output = (output + chunk.toString("utf8")).slice(-keptOutput_bytes);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("spawn", () => onStart?.(child.pid));
    child.once("error", (error) => {
      const missing = error.code === "ENOENT";
      reject(
        new InstallError(missing ? `${command} is not on the PATH: install ${command} and run again` : error.message),
      );
    });
    child.once("close", (code, signal) => {
      const ended = signal === null ? "" : `\n${command} was ended by ${signal}`;
      settle({ code: code ?? 1, output: output + ended });
    });
  });
}
