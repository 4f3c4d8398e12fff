import type { LogChunk } from "../../../wire/log-records.ts";
import type { Journal } from "./journal.ts";
import { JournalError } from "./journal.ts";
import { isEnded, LogStoreError, type LogState } from "./log-state.ts";
import type { SegmentReader } from "./segment-file.ts";

/** Most decompressed bytes that one read gives, but for one chunk. */
export const maximumReadBytes = 4 * 1024 * 1024;

export type ReadLimits = { fromLine: number; limitLines: number; limitBytes: number };

/**
 * Whole chunks in order; the first may begin before the line asked for. `nextLine` is where to read on; `isEnd` says
 * that the log ended and nothing is left after them.
 */
export type LogBatch = { chunks: LogChunk[]; nextLine: number; isEnd: boolean };

/** Reads durable chunks of a log, from its segments and then from the journal. */
export async function readLog(
  log: LogState,
  limits: ReadLimits,
  sources: { segments: SegmentReader; journal: Journal },
): Promise<LogBatch> {
  for (let attempt = 1; ; attempt++) {
    if (log.isDeleted) throw new LogStoreError("deleted", `log of ${log.key.workloadId} is deleted`);
    try {
      return await readOnce(log, limits, sources);
    } catch (error) {
      // Between finding a chunk and reading it, it may have moved from the journal into a segment, or been deleted.
      const hasMoved = error instanceof JournalError && error.reason === "gone";
      if (!log.isDeleted && !(hasMoved && attempt < 3)) throw error;
    }
  }
}

async function readOnce(
  log: LogState,
  limits: ReadLimits,
  { segments, journal }: { segments: SegmentReader; journal: Journal },
): Promise<LogBatch> {
  const budget = createBudget(limits);
  const unsealed = take(log.unsealed, limits.fromLine, createBudget(limits));
  const hasEnded = isEnded(log);
  const durableLine = log.durableLine;
  const chunks: LogChunk[] = [];
  for (const segment of log.segments.filter(({ nextLine }) => nextLine > limits.fromLine)) {
    if (budget.isSpent()) break;
    const wanted = take(await segments.table(segment), limits.fromLine, budget);
    chunks.push(...(await segments.chunks(segment, wanted)));
  }
  for (const { place, ...chunk } of unsealed) {
    if (budget.spend(chunk)) chunks.push({ ...chunk, data: await journal.read(place) });
  }
  const nextLine = nextLineOf(chunks, limits.fromLine);
  return { chunks, nextLine, isEnd: hasEnded && nextLine >= durableLine };
}

type Sized = { firstLine: number; count: number; size: number };
type Budget = { spend(chunk: Sized): boolean; isSpent(): boolean };

/** Counts lines and bytes against the limits; the first chunk always passes. */
function createBudget({ fromLine, limitLines, limitBytes }: ReadLimits): Budget {
  let nextLine = fromLine;
  let bytes = 0;
  let isSpent = false;
  return {
    spend(chunk) {
      isSpent ||= nextLine - fromLine >= limitLines || (bytes > 0 && bytes + chunk.size > limitBytes);
      if (isSpent) return false;
      nextLine = chunk.firstLine + chunk.count;
      bytes += chunk.size;
      return true;
    },
    isSpent: () => isSpent || nextLine - fromLine >= limitLines,
  };
}

/** The chunks, from the one with `fromLine` on, that fit the budget. */
function take<T extends Sized>(chunks: readonly T[], fromLine: number, budget: Budget): T[] {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const chunk = chunks[middle]!;
    if (chunk.firstLine + chunk.count <= fromLine) low = middle + 1;
    else high = middle;
  }
  const taken: T[] = [];
  for (let index = low; index < chunks.length && budget.spend(chunks[index]!); index++) taken.push(chunks[index]!);
  return taken;
}

function nextLineOf(chunks: readonly LogChunk[], otherwise: number): number {
  const last = chunks.at(-1);
  return last === undefined ? otherwise : last.firstLine + last.count;
}

/** Resolves at the next change of the log, after `pollMs`, or when the signal aborts. */
export function nextChange(log: LogState, pollMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(poll);
      log.watchers.delete(done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const poll = setTimeout(done, pollMs);
    log.watchers.add(done);
    signal?.addEventListener("abort", done);
  });
}
