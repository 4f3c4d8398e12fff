import type { JsonValue } from "@bufbuild/protobuf";
import { sanitizeText } from "../../wire/terminal-text.ts";
import { displayWidth, padEnd } from "./display-width.ts";
import { toSafeJson, toSafeYaml } from "./structured.ts";
import { layOutTable, type Cell } from "./table.ts";
import { hasColours, paint, write, type Terminal, type Tone } from "./terminal.ts";
import type { View } from "./view.ts";

/** What `-o` takes. */
export const outputFormats = ["table", "wide", "json", "yaml", "name"] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** The longest cell that is laid out; what is longer is cut before it is measured. */
const maximumCellCharacters = 4096;

/** Shows results on stdout and says things on stderr. Nothing of the server's reaches either unsanitized. */
export interface Output {
  readonly format: OutputFormat;
  list<T>(view: View<T>, items: readonly T[]): Promise<void>;
  get<T>(view: View<T>, item: T): Promise<void>;
  /** One item of a sequence without end: a line of a table without a header, or one compact JSON document a line. */
  item<T>(view: View<T>, item: T): Promise<void>;
  /** The item for machines, the sentence for people. */
  done<T>(view: View<T>, item: T, sentence: string): Promise<void>;
  /** A document of a shape of its own. */
  document(value: () => JsonValue, text: string): Promise<void>;
  /** Text of ours for stdout: parts from the server go through `safe` first. */
  line(text: string): Promise<void>;
  note(text: string, tone?: Tone): Promise<void>;
  /** `text` in a tone where stdout has colours. */
  toned(text: string, tone: Tone): string;
}

/** Text from the server as part of one line. */
export const safe = sanitizeText;

/** Results go to the standard output in `format`; everything for people beside them to the standard error. */
export function createOutput(terminal: Terminal, format: OutputFormat): Output {
  const { stdout, stderr, environment } = terminal;
  const isColoured = hasColours(stdout, environment);
  const toned = (text: string, tone: Tone): string => (isColoured ? paint(text, tone) : text);
  const print = (text: string): Promise<void> => write(stdout, text);

  /** Writes the machine formats; answers whether it did. */
  async function machine(value: () => JsonValue, ids: () => readonly string[]): Promise<boolean> {
    if (format === "json") await print(toSafeJson(value()));
    else if (format === "yaml") await print(toSafeYaml(value()));
    else if (format === "name")
      await print(
        ids()
          .map((id) => `${safe(id)}\n`)
          .join(""),
      );
    else return false;
    return true;
  }

  function table<T>(view: View<T>, items: readonly T[]): string[] {
    const columns = view.columns.filter(({ isWide }) => isWide !== true || format === "wide");
    const rows = items.map((item) => columns.map(({ value, tone }) => cell(value(item, terminal.now()), tone?.(item))));
    const width = stdout.isTTY === true && format === "table" ? stdout.columns : undefined;
    return layOutTable(
      columns.map(({ header }) => header),
      rows,
      width,
    );
  }

  function cell(text: string, tone: Tone | undefined): Cell {
    const shown = safe(text.slice(0, maximumCellCharacters));
    return tone === undefined || !isColoured
      ? { text: shown }
      : { text: shown, paint: (padded) => paint(padded, tone) };
  }

  function details<T>(view: View<T>, item: T): string {
    const entries = view.details(item).filter(([, value]) => value !== "");
    const width = Math.max(0, ...entries.map(([label]) => displayWidth(label)));
    return entries.map(([label, value]) => `${toned(padEnd(`${label}:`, width + 1), "dim")} ${safe(value)}\n`).join("");
  }

  return {
    format,
    toned,
    async list(view, items) {
      if (
        await machine(
          () => items.map(view.toJson),
          () => items.map(view.id),
        )
      )
        return;
      if (items.length === 0) await this.note(`no ${view.noun}`, "dim");
      else await print(`${table(view, items).join("\n")}\n`);
    },
    async get(view, item) {
      if (
        await machine(
          () => view.toJson(item),
          () => [view.id(item)],
        )
      )
        return;
      await print(details(view, item));
    },
    async item(view, item) {
      if (format === "json") await print(`${toSafeJson(view.toJson(item)).replace(/\n\s*/g, " ").trim()}\n`);
      else if (format === "yaml") await print(`---\n${toSafeYaml(view.toJson(item))}`);
      else if (format === "name") await print(`${safe(view.id(item))}\n`);
      else await print(`${table(view, [item])[1]}\n`);
    },
    async done(view, item, sentence) {
      if (
        await machine(
          () => view.toJson(item),
          () => [view.id(item)],
        )
      )
        return;
      await print(`${safe(sentence)}\n`);
    },
    async document(value, text) {
      if (await machine(value, () => [])) return;
      await print(text);
    },
    line: (text) => print(`${text}\n`),
    async note(text, tone) {
      const shown = safe(text);
      await write(stderr, `${tone !== undefined && hasColours(stderr, environment) ? paint(shown, tone) : shown}\n`);
    },
  };
}
