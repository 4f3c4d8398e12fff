import { stripVTControlCharacters } from "node:util";
import { sanitizeLog, sanitizeText } from "../wire/terminal-text.ts";

/** What the demo tells, laid out for people. Colours only where they are wanted. */
export type Terminal = {
  title(text: string): void;
  step(text: string): void;
  /** One fact: what it is and what was found. */
  fact(name: string, value: string): void;
  /** A fact that was verified; `refused` where the point is that something was not taken. */
  verdict(kind: "held" | "refused", text: string): void;
  /** Columns as wide as they need to be. */
  table(rows: readonly (readonly string[])[]): void;
  /** A line of a workload's log, with its time since the start of the workload. */
  log(line: { time_ms: number; stream: "stdout" | "stderr" | "system"; content: Uint8Array }): void;
  note(text: string): void;
  blank(): void;
};

const nameWidth = 14;
const codes = { bold: "1", dim: "2", red: "31", green: "32", yellow: "33", cyan: "36" } as const;

/** Whether a terminal reads `stream` and nobody asked for no colours. */
export function wantsColours(stream: { isTTY?: boolean }, environment: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb";
}

/**
 * A terminal that is written to by `write`; what workloads print has everything but colours taken out, and those, too, without
 * `colours`. What the demo itself says is broken between words where it is wider than `columns`.
 */
export function createTerminal(write: (text: string) => void, colours: boolean, columns = Infinity): Terminal {
  const paint = (colour: keyof typeof codes, text: string) =>
    colours ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text;
  const line = (text: string) => write(`${text}\n`);
  const shown = (content: Uint8Array) => {
    const safe = sanitizeLog(content);
    return colours ? safe : stripVTControlCharacters(safe);
  };
  /** Behind a margin of `indent` characters, which the lines after the first get as blanks. */
  const folded = (text: string, indent: number) => foldText(text, columns - indent).join(`\n${" ".repeat(indent)}`);
  let steps = 0;
  return {
    title: (text) => line(paint("bold", folded(text, 0))),
    step(text) {
      steps += 1;
      line("");
      line(paint("bold", `${paint("cyan", String(steps))} ${paint("bold", folded(text, 2))}`));
    },
    fact(name, value) {
      line(`  ${paint("dim", name.padEnd(nameWidth))}  ${folded(sanitizeText(value), nameWidth + 4)}`);
    },
    verdict(kind, text) {
      const mark = kind === "held" ? paint("green", "✓") : paint("red", "✗");
      line(`  ${mark} ${folded(sanitizeText(text), 4)}`);
    },
    table(rows) {
      const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
      for (const [index, row] of rows.entries()) {
        const text = row.map((cell, column) => sanitizeText(cell).padEnd(widths[column]!)).join("  ");
        line(`  ${index === 0 ? paint("dim", text.trimEnd()) : text.trimEnd()}`);
      }
    },
    log({ time_ms, stream, content }) {
      const clock = `${(time_ms / 1000).toFixed(2)} s`.padStart(8);
      const text = stream === "system" ? folded(shown(content), 13) : shown(content);
      const tints = { stdout: undefined, stderr: "yellow", system: "dim" } as const;
      const tint = tints[stream];
      line(
        `  ${paint("dim", `${clock} ${stream === "system" ? "·" : "│"}`)} ${tint === undefined ? text : paint(tint, text)}`,
      );
    },
    note: (text) => line(`  ${paint("dim", folded(sanitizeText(text), 2))}`),
    blank: () => line(""),
  };
}

/** The text in lines of at most `width` characters, broken between words; a word that is longer stays whole. */
export function foldText(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
