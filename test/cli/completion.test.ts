import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { longFlag } from "../../cli/src/command-shape.ts";
import { commands } from "../../cli/src/commands.ts";
import { completionScript } from "../../cli/src/completion.ts";
import { run } from "./support/terminal.ts";

const execute = promisify(execFile);

/** What bash offers where the last word is being typed. */
async function complete(...words: string[]): Promise<string[]> {
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const script = `${completionScript("bash", commands)}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _agynctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await execute("bash", ["-c", script], { timeout: 10_000 });
  return stdout.split("\n").filter((line) => line !== "");
}

test("bash completes groups, commands, flags and choices", async () => {
  expect(await complete("agynctl", "runn")).toEqual(["runners"]);
  expect(await complete("agynctl", "runners", "re")).toEqual(["register", "resume", "revoke"]);
  expect(await complete("agynctl", "runners", "delete", "--fo")).toEqual(["--force"]);
  expect(await complete("agynctl", "runners", "list", "-o", "")).toEqual(["table", "wide", "json", "yaml", "name"]);
  expect(await complete("agynctl", "workloads", "list", "--phase", "suc")).toEqual(["succeeded"]);
});

test("bash completes the words and the flags of a command that is a group, too", async () => {
  expect(await complete("agynctl", "queue", "m")).toEqual(["move"]);
  expect(await complete("agynctl", "queue", "--ver")).toEqual(["--verdict"]);
  expect(await complete("agynctl", "queue", "--verdict", "n")).toEqual(["never"]);
  expect(await complete("agynctl", "queue", "move", "--b")).toEqual(["--before"]);
});

test("bash completes what help is asked for", async () => {
  expect(await complete("agynctl", "help", "runn")).toEqual(["runners"]);
  expect(await complete("agynctl", "help", "runners", "li")).toEqual(["list"]);
});

test("bash knows that a flag's value is no command", async () => {
  expect(await complete("agynctl", "--org", "runners", "work")).toEqual(["workloads"]);
  expect(await complete("agynctl", "workloads", "start", "--", "ru")).toEqual([]);
});

test.each(["bash", "zsh", "fish"] as const)("the %s script names every command and flag", (shell) => {
  const script = completionScript(shell, commands);
  for (const { path, options } of commands) {
    expect(script).toContain(path.at(-1));
    for (const key of Object.keys(options))
      expect(script).toContain(shell === "fish" ? longFlag(key).slice(2) : longFlag(key));
  }
});

test("completion of an unknown shell is refused", async () => {
  const { exitCode, stderr } = await run(["completion", "csh"]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: 'error: shell "csh" is none of bash, zsh, fish\n' });
});
