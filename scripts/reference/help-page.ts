import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../check/tools.ts";
import { heading } from "./markdown.ts";

const helpTimeout_ms = 30_000;
/** Columns that help texts are laid out for. */
const columns = "100";

/** What a program says of itself when it is asked for help. */
export async function helpOf(program: string, words: readonly string[]): Promise<string> {
  const args = [join(root, program), ...words, "--help"];
  const env = { PATH: process.env["PATH"], HOME: "/nonexistent", COLUMNS: columns, NO_COLOR: "1" };
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env, timeout: helpTimeout_ms });
  return stdout.trimEnd();
}

/** A page of one help text. */
export async function helpPage(title: string, program: string): Promise<string> {
  return `${heading(title, `\`${program}\``)}\n${fenced(await helpOf(program, []))}\n`;
}

/** A page of the help of a program and of each of its commands, however deep they nest. */
export async function commandsPage(title: string, program: string): Promise<string> {
  const parts = [heading(title, `\`${program}\``)];
  const visit = async (words: readonly string[]): Promise<void> => {
    const text = await helpOf(program, words);
    parts.push(`## ${[title, ...words].join(" ")}\n\n${fenced(text)}\n`);
    for (const word of subcommandsOf(text)) await visit([...words, word]);
  };
  await visit([]);
  return `${parts.join("\n")}`;
}

/** The names in the section `Commands:` of a help text. */
function subcommandsOf(help: string): string[] {
  const section = /^Commands:\n((?: +.*\n?)+)/m.exec(help)?.[1] ?? "";
  const names = [...section.matchAll(/^ {2}([a-z][a-z-]*)(?=[ |\n]|$)/gm)].map((match) => match[1] ?? "");
  return names.filter((name) => name !== "" && name !== "help");
}

function fenced(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}
