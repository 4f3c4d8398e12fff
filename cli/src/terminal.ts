import type { Readable, Writable } from "node:stream";

/** A stream that may be a terminal. */
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

/** Everything outside of the process that a command touches. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(isRaw: boolean): unknown };
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly environment: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly now: () => Date;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Writes and waits until the stream takes more, so that a slow reader slows the sender and not the memory. */
export async function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  if (text.length === 0 || stream.destroyed || stream.write(text)) return;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      stream.off("drain", settle);
      stream.off("close", settle);
      stream.off("error", settle);
      resolve();
    };
    stream.on("drain", settle);
    stream.on("close", settle);
    stream.on("error", settle);
  });
}

/** What a text means, which its colour shows. */
export type Tone = "good" | "bad" | "warning" | "dim" | "strong";

const codes: Readonly<Record<Tone, string>> = { good: "32", bad: "31", warning: "33", dim: "2", strong: "1" };

/** Whether a stream gets colours: only a terminal, and never with `NO_COLOR`. */
export function hasColours(stream: OutputStream, environment: NodeJS.ProcessEnv): boolean {
  const isOff = (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb";
  return stream.isTTY === true && !isOff;
}

/** Colours that tell things apart and mean nothing. */
const hues = ["36", "33", "35", "34", "32", "96", "95", "94"] as const;

/** `text` in the colour of the `index`th of several things. */
export function paintHue(text: string, index: number): string {
  return `\u001b[${hues[index % hues.length]}m${text}\u001b[0m`;
}

/** `text` in the colour of `tone`. */
export function paint(text: string, tone: Tone): string {
  return `\u001b[${codes[tone]}m${text}\u001b[0m`;
}
