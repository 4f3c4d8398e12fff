import { execFile } from "node:child_process";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { commands } from "../../cli/src/commands.ts";
import { runProgram } from "../../cli/src/program.ts";
import { root } from "../check/tools.ts";
import { heading } from "./markdown.ts";

const helpTimeout_ms = 30_000;

/** A page of what a program says of itself when it is asked for help. */
export async function helpPage(title: string, program: string): Promise<string> {
  const env = { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1" };
  const args = [join(root, program), "--help"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env, timeout: helpTimeout_ms });
  return `${heading(title, `\`${program}\``)}\n${fenced(stdout)}\n`;
}

/** A page of the help of agynctl and of each of its commands. */
export async function agynctlPage(): Promise<string> {
  const parts = [heading("agynctl", "`cli/src/commands/`"), fenced(await agynctlHelp([])), ""];
  for (const { path } of commands) {
    // What all commands share is above.
    const own = (await agynctlHelp(path)).replace(/^Global options:\n(?: .*\n)+\n?/m, "");
    parts.push(`## agynctl ${path.join(" ")}\n`, fenced(own), "");
  }
  return parts.join("\n");
}

async function agynctlHelp(path: readonly string[]): Promise<string> {
  const stdout = new PassThrough();
  const said = text(stdout);
  const exitCode = await runProgram(commands, [...path, "--help"], {
    stdin: process.stdin,
    stdout,
    stderr: process.stderr,
    environment: {},
    cwd: root,
    now: () => new Date(0),
    signal: AbortSignal.timeout(helpTimeout_ms),
  });
  stdout.end();
  if (exitCode !== 0) throw new Error(`agynctl ${path.join(" ")} --help failed`);
  return said;
}

function fenced(said: string): string {
  return `\`\`\`text\n${said.trimEnd()}\n\`\`\``;
}
