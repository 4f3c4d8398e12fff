import type { Logger } from "pino";

/** Notes how something is closed that was just opened. `what` is for people. */
export type OnClose = (what: string, close: () => Promise<void>) => void;

/** Beyond its grace, what one closing may take. */
const closingLimit_ms = 30_000;

/**
 * What was opened in order, closed in reverse, once. What fails, or does not end in its time, is named in the log and holds up nothing:
 * a server that was told to stop must end.
 */
export function createClosing(log: Logger, grace_ms: number, limit_ms = closingLimit_ms) {
  const steps: { what: string; close: () => Promise<void> }[] = [];
  let closed: Promise<void> | undefined;
  const closeInTurn = async () => {
    for (const { what, close } of steps.toReversed()) {
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error("it did not end in its time")), grace_ms + limit_ms);
      await Promise.race([Promise.resolve().then(close), late])
        .catch((error: unknown) => log.error({ err: error, what }, `closing failed: ${what}`))
        .finally(() => clearTimeout(timer));
    }
  };
  return {
    onClose: ((what, close) => void steps.push({ what, close })) satisfies OnClose,
    /** Whoever asks again waits for the same end. Never rejects. */
    close: (): Promise<void> => (closed ??= closeInTurn()),
  };
}
