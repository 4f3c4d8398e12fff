import { readFile } from "node:fs/promises";

/** A block of commands that is to be run, and what the page shows of its output. */
export type Block = {
  line: number;
  script: string;
  exitCode: number;
  /** It stays up until the page ends. */
  isBackground: boolean;
  /** Lines that appear in the output in this order; `…` stands for anything. */
  output: readonly string[];
};

const fence = /^```([^\n]*)\n([^]*?)^```$/gm;

/**
 * The blocks of a page in their order. Those that begin with "```sh run" are run; `exit=6` says with which code one ends if not 0,
 * `background` that it stays up. "```text output" after one shows what it says. All others are for reading only.
 */
export async function readBlocks(file: string): Promise<Block[]> {
  const page = await readFile(file, "utf8");
  const blocks: Block[] = [];
  for (const { 1: info = "", 2: body = "", index } of page.matchAll(fence)) {
    const [language, kind, ...words] = info.split(" ");
    const line = page.slice(0, index).split("\n").length;
    if (language === "sh" && kind === "run") {
      const exitCode = Number(words.find((word) => word.startsWith("exit="))?.slice("exit=".length) ?? 0);
      blocks.push({ line, script: body, exitCode, isBackground: words.includes("background"), output: [] });
    }
    const last = blocks.at(-1);
    if (language === "text" && kind === "output" && last !== undefined) last.output = body.trimEnd().split("\n");
  }
  return blocks;
}

/** The first of the shown lines that does not appear behind the ones before it, or `undefined`. */
export function missingLine(shown: readonly string[], said: string): string | undefined {
  const lines = said.split("\n");
  let from = 0;
  for (const line of shown.filter((one) => one.trim() !== "")) {
    const pattern = patternOf(line);
    const found = lines.findIndex((one, index) => index >= from && pattern.test(one));
    if (found < 0) return line;
    from = found + 1;
  }
  return undefined;
}

/** A shown line as a pattern: blanks count as one, and `…` is anything. */
function patternOf(line: string): RegExp {
  const parts = line.trim().split(/\s*…\s*/);
  const literal = (part: string) =>
    part
      .split(/\s+/)
      .map((word) => escape(word))
      .join(String.raw`\s+`);
  return new RegExp(String.raw`^\s*${parts.map(literal).join(".*")}\s*$`);
}

function escape(word: string): string {
  return word.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
