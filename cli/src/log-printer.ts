import { LogLineSchema, LogStream, type LogLine } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { toJson } from "@bufbuild/protobuf";
import { createLogSanitizer, type LogSanitizer } from "../../wire/terminal-text.ts";
import type { OutputFormat } from "./output.ts";
import { toSafeJson } from "./structured.ts";
import { hasColours, paint, write, type OutputStream, type Terminal } from "./terminal.ts";
import { formatBytes, instant } from "./view.ts";

/** Writes the lines of a log: stdout to stdout, the rest to stderr, and nothing that could drive the terminal. */
export interface LogPrinter {
  print(line: LogLine): Promise<void>;
  /** Resets what the log left behind. */
  end(): Promise<void>;
}

export interface LogPrinterOptions {
  readonly format: OutputFormat;
  readonly hasTimes: boolean;
  /** The very bytes of the workload; only where stdout is no terminal. */
  readonly isRaw: boolean;
}

interface Channel {
  readonly stream: OutputStream;
  readonly sanitizer: LogSanitizer;
  isInLine: boolean;
}

/** What a sanitizer leaves of escapes. */
export const colourSequence = new RegExp(`${String.fromCharCode(27)}\\[[\\d;:]*m`, "g");

/** Each stream goes to its own of the terminal; what could move the cursor or hide text is taken out. */
export function createLogPrinter(terminal: Terminal, options: LogPrinterOptions): LogPrinter {
  const { stdout, stderr, environment } = terminal;
  const out: Channel = { stream: stdout, sanitizer: createLogSanitizer(), isInLine: false };
  const error: Channel = { stream: stderr, sanitizer: createLogSanitizer(), isInLine: false };
  const system: Channel = { stream: stderr, sanitizer: createLogSanitizer(), isInLine: false };

  const coloured = (stream: OutputStream, text: string): string =>
    hasColours(stream, environment) ? text : text.replace(colourSequence, "");
  const dimmed = (text: string): string => (hasColours(stderr, environment) ? paint(text, "dim") : text);

  async function printText(channel: Channel, line: LogLine): Promise<void> {
    const time = options.hasTimes && !channel.isInLine ? `${instant(line.time)} ` : "";
    const text = channel.sanitizer.push(line.content) + (line.continued ? "" : channel.sanitizer.push("\n"));
    channel.isInLine = line.continued;
    await write(channel.stream, time + coloured(channel.stream, text));
  }

  async function printSystem(line: LogLine): Promise<void> {
    const text = system.sanitizer.push(line.content).replace(colourSequence, "");
    await write(stderr, `${dimmed(text)}${line.continued ? "" : "\n"}`);
  }

  return {
    async print(line) {
      if (options.format === "json") return write(stdout, lineJson(line));
      if (line.droppedLines > 0n) {
        return write(stderr, `${dimmed(droppedText(line))}\n`);
      }
      if (line.stream === LogStream.SYSTEM) return printSystem(line);
      const channel = line.stream === LogStream.STDERR ? error : out;
      if (!options.isRaw) return printText(channel, line);
      await write(channel.stream, line.content);
      return line.continued ? undefined : write(channel.stream, "\n");
    },
    async end() {
      for (const { stream, sanitizer } of [out, error, system]) await write(stream, coloured(stream, sanitizer.end()));
    },
  };
}

/** In place of lines that the runner had no room for. */
export function droppedText({ droppedLines, droppedBytes }: LogLine): string {
  return `… ${droppedLines} lines (${formatBytes(droppedBytes)}) were dropped: the runner's spool was full`;
}

/** One JSON document a line; the content also as text, where it is UTF-8, and whatever else tells where it is from. */
export function lineJson(line: LogLine, origin: Readonly<Record<string, string>> = {}): string {
  const json = toJson(LogLineSchema, line);
  const fields = typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
  const value = { ...origin, ...fields, text: Buffer.from(line.content).toString("utf8") };
  return `${toSafeJson(value).replace(/\n\s*/g, " ").trim()}\n`;
}
