import { createInterface } from "node:readline/promises";
import type { Context } from "./context.ts";
import { exitCodes, Failure } from "./failures.ts";
import { safe } from "./output.ts";

/** Asks before something that cannot be undone; only where a person is there to answer, and not with `--yes`. */
export async function confirm(context: Context, question: string, isSure: boolean): Promise<void> {
  const { stdin, stderr, signal } = context.terminal;
  if (isSure || stdin.isTTY !== true || stderr.isTTY !== true) return;
  const prompt = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await prompt.question(`${safe(question)} [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new Failure("nothing was done", exitCodes.failure);
  } finally {
    prompt.close();
  }
}
