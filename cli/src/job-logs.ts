import { LogStream, type LogLine } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { createLogSanitizer } from "../../wire/terminal-text.ts";
import { displayWidth, padEnd, truncate } from "./display-width.ts";
import { colourSequence, droppedText, lineJson } from "./log-printer.ts";
import { safe, type OutputFormat } from "./output.ts";
import { hasColours, paint, paintHue, write, type OutputStream, type Terminal } from "./terminal.ts";

/** A longer name is cut in front of its lines. */
const maximumNameCells = 32;
/** A line without an end is shown in pieces of so many characters. */
const maximumLineCharacters = 65_536;
const reset = "\u001b[0m";

/** The log of one job among several. */
export interface JobLog {
  print(line: LogLine): Promise<void>;
  /** Shows what is left of a line that did not end. */
  end(): Promise<void>;
}

interface Channel {
  readonly stream: OutputStream;
  push(line: LogLine): string[];
  end(): string[];
}

/**
 * Logs of several jobs at once, every line behind its job's name: the lines of one job in order, and none within another.
 * `names` are those that are known already, so that the lines line up.
 */
export function createJobLogs(
  terminal: Terminal,
  { names, format }: { names: readonly string[]; format: OutputFormat },
): (name: string) => JobLog {
  const width = Math.min(maximumNameCells, Math.max(0, ...names.map((name) => displayWidth(safe(name)))));
  let opened = 0;
  return (name) => {
    const index = opened++;
    const shown = padEnd(truncate(safe(name), maximumNameCells), width);
    const isColoured = (stream: OutputStream): boolean => hasColours(stream, terminal.environment);
    const out = createChannel(terminal.stdout, isColoured(terminal.stdout));
    const error = createChannel(terminal.stderr, isColoured(terminal.stderr));
    const say = async (stream: OutputStream, lines: readonly string[]): Promise<void> => {
      const prefix = isColoured(stream) ? paintHue(`${shown} │`, index) : `${shown} │`;
      for (const line of lines) await write(stream, `${prefix} ${line}\n`);
    };
    const aside = (text: string): Promise<void> =>
      say(error.stream, [isColoured(error.stream) ? paint(text, "dim") : text]);
    return {
      async print(line) {
        if (format === "json") return write(terminal.stdout, lineJson(line, { job: name }));
        if (line.droppedLines > 0n) return aside(droppedText(line));
        if (line.stream === LogStream.SYSTEM) return aside(safe(Buffer.from(line.content).toString()));
        const channel = line.stream === LogStream.STDERR ? error : out;
        return say(channel.stream, channel.push(line));
      },
      async end() {
        for (const channel of [out, error]) await say(channel.stream, channel.end());
      },
    };
  };
}

function createChannel(stream: OutputStream, isColoured: boolean): Channel {
  let sanitizer = createLogSanitizer();
  let begun = "";
  const finish = (text: string): string => (isColoured ? `${text}${reset}` : text.replace(colourSequence, ""));
  const take = (text: string): string[] => {
    const lines = (begun + text).split("\n");
    begun = lines.pop() ?? "";
    if (begun.length > maximumLineCharacters) {
      lines.push(begun);
      begun = "";
    }
    return lines.map(finish);
  };
  return {
    stream,
    push: (line) => take(sanitizer.push(line.content) + (line.continued ? "" : sanitizer.push("\n"))),
    end() {
      const rest = begun + sanitizer.end();
      begun = "";
      sanitizer = createLogSanitizer();
      return rest.replace(colourSequence, "") === "" ? [] : [finish(rest)];
    },
  };
}
