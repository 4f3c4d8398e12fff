import type { Context } from "./context.ts";
import { safe } from "./output.ts";
import { write } from "./terminal.ts";
import { formatBytes } from "./view.ts";

const period_ms = 200;
/** Of what is left out, so many are told by name: a hostile archive has as many as it likes. */
const maximumTold = 100;
/** To the beginning of the line, and clears it. */
const anew = "\r\u001b[K";

/** What is shown of a copy while it goes on, on a terminal only, and what came of it. */
export type CopyProgress = {
  files: number;
  bytes: number;
  /** What was not copied, and why. */
  leftOut(path: string, why: string): void;
  /** Takes the line away. */
  clear(): Promise<void>;
  /** Says what was copied. */
  finish(from: string, to: string): Promise<void>;
};

/** Shows on a terminal, on one line that is written anew, how far a copy is; elsewhere only `finish` says something. */
export function startProgress({ terminal: { stderr }, output }: Context): CopyProgress {
  const leftOut: { path: string; why: string }[] = [];
  let untold = 0;
  const show = (): void => void write(stderr, `${anew}${formatBytes(BigInt(progress.bytes))}`);
  const timer = stderr.isTTY === true ? setInterval(show, period_ms) : undefined;
  const progress: CopyProgress = {
    files: 0,
    bytes: 0,
    leftOut(path, why) {
      if (leftOut.length < maximumTold) leftOut.push({ path, why });
      else untold += 1;
    },
    async clear() {
      clearInterval(timer);
      if (timer !== undefined) await write(stderr, anew);
    },
    async finish(from, to) {
      await progress.clear();
      for (const { path, why } of leftOut) await output.note(`left out: ${path} is ${why}`, "warning");
      if (untold > 0) await output.note(`left out: ${untold} more`, "warning");
      const { files, bytes } = progress;
      const count = `${files} file${files === 1 ? "" : "s"}`;
      const text = `copied ${count}, ${formatBytes(BigInt(bytes))}: ${from} to ${to}`;
      await output.document(() => ({ files, bytes, leftOut }), `${safe(text)}\n`);
    },
  };
  return progress;
}
