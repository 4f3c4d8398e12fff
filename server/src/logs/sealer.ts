/** Moves logs from the journal into segment blobs: when they end, and when the journal has begun another file. */
import type { Blobs } from "../blobs/blobs.ts";
import type { Journal } from "./journal.ts";
import { isEnded, isInJournal, oldestSequence, type JournalChunk, type LogState } from "./log-state.ts";
import { encodeTable } from "./segment-file.ts";
import type { LogKey, LogSegment, SegmentIndex } from "./segment-index.ts";

/** How many logs are sealed at once. */
const maximumSealing = 4;

export type Sealer = {
  /** Notes that the journal holds something of the log. */
  track(log: LogState): void;
  forget(log: LogState): void;
  /** Seals what is due and removes journal files that nothing needs; again later when the storage failed. */
  request(): void;
  /** Seals the log now, though it goes on; answers whether the journal held anything of it. */
  sealNow(log: LogState): Promise<boolean>;
  /** Holds the journal from its current file on until released. */
  hold(): { release(): void };
  /** Resolves when nothing is being sealed. */
  idle(): Promise<void>;
  close(): Promise<void>;
};

export type SealerOptions = {
  journal: () => Journal;
  blobs: Blobs;
  segments: SegmentIndex;
  now: () => Date;
  retryMs: number;
  onError(error: unknown): void;
};

/** The folder of a log's blobs. */
export function blobFolder(key: LogKey): string {
  return `logs/${key.workloadId}/${key.fence}`;
}

/** Seals nothing until it is told of a log. */
export function createSealer(options: SealerOptions): Sealer {
  const tracked = new Set<LogState>();
  /** Asked for, whatever their age. */
  const wanted = new Set<LogState>();
  const holds = new Set<{ sequence: number }>();
  let running: Promise<void> | undefined;
  let isRequested = false;
  let isClosed = false;
  let retry: NodeJS.Timeout | undefined;

  function isDue(log: LogState): boolean {
    return isInJournal(log) && (isEnded(log) || wanted.has(log) || oldestSequence(log) < options.journal().sequence);
  }

  async function sealDue(): Promise<void> {
    const due = [...tracked].filter(isDue);
    const failures: unknown[] = [];
    const sealNext = async (): Promise<void> => {
      for (let log = due.pop(); log !== undefined && !isClosed; log = due.pop()) {
        log.sealing = seal(log, options).catch((error: unknown) => void failures.push(error));
        await log.sealing;
        log.sealing = undefined;
        if (!isInJournal(log)) tracked.delete(log);
      }
    };
    await Promise.all(Array.from({ length: maximumSealing }, sealNext));
    const needed = [...[...tracked].map(oldestSequence), ...[...holds].map(({ sequence }) => sequence)];
    await options
      .journal()
      .removeBefore(needed.reduce((least, one) => Math.min(least, one), options.journal().sequence));
    if (failures.length > 0) throw failures[0];
  }

  async function run(): Promise<void> {
    while (isRequested && !isClosed) {
      isRequested = false;
      try {
        await sealDue();
      } catch (error) {
        options.onError(error);
        retry ??= setTimeout(() => {
          retry = undefined;
          request();
        }, options.retryMs).unref();
      }
    }
    running = undefined;
  }

  function request(): void {
    isRequested = true;
    running ??= Promise.resolve().then(run);
  }

  return {
    track: (log) => void tracked.add(log),
    forget: (log) => void tracked.delete(log),
    request,
    async sealNow(log) {
      if (!isInJournal(log)) return false;
      wanted.add(log);
      request();
      while (running !== undefined) await running;
      wanted.delete(log);
      return true;
    },
    hold() {
      const held = { sequence: options.journal().sequence };
      holds.add(held);
      return { release: () => void holds.delete(held) };
    },
    async idle() {
      while (running !== undefined) await running;
    },
    async close() {
      isClosed = true;
      clearTimeout(retry);
      while (running !== undefined) await running;
    },
  };
}

/** Writes the log's journal chunks as one blob, then the row, then lets go of the journal. */
async function seal(log: LogState, options: SealerOptions): Promise<void> {
  if (log.isDeleted) return;
  const chunks = log.unsealed.slice();
  if (chunks.length > 0) {
    const segment = await writeSegment(log.key, chunks, options);
    await options.segments.insert(segment);
    log.segments.push(segment);
    log.unsealed.splice(0, chunks.length);
  }
  if (log.life.phase !== "ended" || log.unsealed.length > 0) return;
  await options.segments.markEnded(log.key, log.durableLine, options.now());
  log.life = { phase: "marked" };
}

async function writeSegment(
  key: LogKey,
  chunks: readonly JournalChunk[],
  { journal, blobs, now }: SealerOptions,
): Promise<LogSegment> {
  const firstLine = chunks[0]!.firstLine;
  const last = chunks.at(-1)!;
  const nextLine = last.firstLine + last.count;
  const table = encodeTable(chunks.map(({ place, ...chunk }) => ({ ...chunk, length: place.length })));
  const indexOffset = chunks.reduce((sum, { place }) => sum + place.length, 0);
  const blobKey = `${blobFolder(key)}/${firstLine}-${nextLine}.log`;
  async function* content(): AsyncIterable<Uint8Array> {
    for (const { place } of chunks) yield await journal().read(place);
    yield table;
  }
  const { sizeBytes } = await blobs.put(blobKey, content());
  return { ...key, firstLine, nextLine, blobKey, sizeBytes, indexOffset, createTime: now() };
}
