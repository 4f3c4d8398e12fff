import type { JournalPlace } from "./journal.ts";
import type { LogKey, LogSegment } from "./segment-index.ts";

/** Reasons why the log store refuses. */
export type LogStoreErrorReason = "invalid" | "out_of_order" | "ended" | "deleted" | "overloaded";

/** What the log store refuses, and why; `expectedLine` where a chunk does not follow the last one. */
export class LogStoreError extends Error {
  override name = "LogStoreError";
  readonly reason: LogStoreErrorReason;
  readonly expectedLine: number | undefined;

  constructor(reason: LogStoreErrorReason, message: string, options: ErrorOptions & { expectedLine?: number } = {}) {
    super(message, options);
    this.reason = reason;
    this.expectedLine = options.expectedLine;
  }
}

/** A chunk that lies in the journal. */
export type JournalChunk = { firstLine: number; count: number; size: number; place: JournalPlace };

/** What one server knows of a log: sealed segments, then chunks of the journal, without a hole between them. */
export type LogState = {
  readonly key: LogKey;
  segments: LogSegment[];
  unsealed: JournalChunk[];
  /** The line after the last durable one: what is acknowledged. */
  durableLine: number;
  /** The line after the last one that is on its way to the disk. */
  acceptedLine: number;
  /** Settles with the newest append. */
  lastCommit: Promise<unknown>;
  /** `ending` refuses lines before the end is durable; `marked` is ended and noted in the segment index. */
  life: { phase: "open" } | { phase: "ending" } | { phase: "ended"; place: JournalPlace } | { phase: "marked" };
  isDeleted: boolean;
  sealing: Promise<void> | undefined;
  /** Called and forgotten at the next change. */
  watchers: Set<() => void>;
};

/** Of a log of which `segments` are sealed and nothing else is here; `endedAt` is there once its end is on record. */
export function createLogState(key: LogKey, segments: LogSegment[], endedAt: number | undefined): LogState {
  const nextLine = segments.at(-1)?.nextLine ?? 0;
  return {
    key,
    segments,
    unsealed: [],
    durableLine: nextLine,
    acceptedLine: nextLine,
    lastCommit: Promise.resolve(),
    life: endedAt === undefined ? { phase: "open" } : { phase: "marked" },
    isDeleted: false,
    sealing: undefined,
    watchers: new Set(),
  };
}

/** Whether the log's newest lines may be known to another server only: none of them is in this one's journal. */
export function isElsewhere(log: LogState): boolean {
  return log.life.phase === "open" && log.unsealed.length === 0 && log.acceptedLine === log.durableLine;
}

/** Takes up what other servers have sealed since, unless this one has the newest lines. */
export function takeSealed(log: LogState, segments: LogSegment[], endedAt: number | undefined): void {
  const nextLine = segments.at(-1)?.nextLine ?? 0;
  if (!isElsewhere(log) || nextLine < log.durableLine) return;
  log.segments = segments;
  log.durableLine = nextLine;
  log.acceptedLine = nextLine;
  if (endedAt !== undefined) log.life = { phase: "marked" };
}

/** Adds a chunk that is durable in the journal; false where it does not follow the last one. */
export function addDurable(log: LogState, chunk: JournalChunk): boolean {
  if (chunk.firstLine !== log.durableLine) return false;
  log.unsealed.push(chunk);
  log.durableLine = chunk.firstLine + chunk.count;
  log.acceptedLine = Math.max(log.acceptedLine, log.durableLine);
  wake(log);
  return true;
}

/** Whether the log takes no more lines and all of them are known. */
export function isEnded(log: LogState): boolean {
  return log.life.phase === "ended" || log.life.phase === "marked";
}

/** Calls everyone who waits for a change. */
export function wake(log: LogState): void {
  const watchers = [...log.watchers];
  log.watchers.clear();
  for (const watcher of watchers) watcher();
}

/** Whether the journal still holds something of the log that is nowhere else. */
export function isInJournal(log: LogState): boolean {
  return log.unsealed.length > 0 || log.life.phase === "ended";
}

/** The oldest journal file that the log needs. */
export function oldestSequence(log: LogState): number {
  const ended = log.life.phase === "ended" ? log.life.place.sequence : Infinity;
  return Math.min(log.unsealed[0]?.place.sequence ?? Infinity, ended);
}
