import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Context } from "./context.ts";
import { errorReason } from "./errors.ts";
import { exitCodes, Failure } from "./failures.ts";

const firstWaitMs = 200;
const longestWaitMs = 5000;
/** How long a stream is tried again before it is given up. */
const longestOutageMs = 10 * 60_000;

/**
 * The messages of a stream that is opened again where it broke; `open` starts after what was seen last. Where the control plane
 * was not reached yet, the first failure is final.
 */
export async function* resumeStream<T>(context: Context, open: () => AsyncIterable<T>): AsyncGenerator<T, void> {
  let hasWorked = context.hasReached();
  let lostSince: number | undefined;
  let waitMs = firstWaitMs;
  for (;;) {
    try {
      for await (const message of open()) {
        await noteReturn(context, lostSince);
        hasWorked = true;
        lostSince = undefined;
        waitMs = firstWaitMs;
        yield message;
      }
      return;
    } catch (error) {
      if (!hasWorked || context.terminal.signal.aborted || !isBroken(error)) throw error;
      const now = performance.now();
      if (lostSince === undefined) await context.output.note("connection lost, trying again", "dim");
      lostSince ??= now;
      if (now - lostSince > longestOutageMs)
        throw new Failure("the control plane has been out of reach for 10 minutes", exitCodes.unavailable);
    }
    await delay(waitMs / 2 + Math.random() * (waitMs / 2), undefined, { signal: context.terminal.signal });
    waitMs = Math.min(longestWaitMs, waitMs * 2);
  }
}

async function noteReturn(context: Context, lostSince: number | undefined): Promise<void> {
  if (lostSince !== undefined) await context.output.note("connected again", "dim");
}

/** What the client makes of a connection or a server that went away; a stream cut short breaks its framing. */
const brokenCodes: readonly Code[] = [
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.Internal,
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.InvalidArgument,
];

/** Whether the connection or the server went away, rather than the call being refused: a refusal has a reason. */
function isBroken(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  const reason = errorReason(error);
  return reason === undefined ? brokenCodes.includes(error.code) : reason === "UNAVAILABLE";
}
