/**
 * The logs of all workloads on this server: appended to one journal, sealed into blobs, read and followed from both.
 *
 * 1. An append resolves once its lines are durable (I4), and lines are accepted in order and once.
 * 2. What is accepted was decoded first, so everything that is kept can be read.
 * 3. Followers hold no lines: each reads from disk at its own pace (I13).
 */
import { lineNumber, LogFormatError, verifyChunk, type LogChunk } from "../../../wire/log-records.ts";
import { checkKey, type Blobs } from "../blobs/blobs.ts";
import { JournalError, openJournal, type Journal, type JournalPlace } from "./journal.ts";
import { maximumWorkloadIdBytes, type JournalEntry } from "./journal-file.ts";
import { createLogCatalog, type LogCatalog } from "./log-catalog.ts";
import { maximumReadBytes, nextChange, readLog, type LogBatch } from "./log-reader.ts";
import { addDurable, isElsewhere, isEnded, LogStoreError, wake, type LogState } from "./log-state.ts";
import { replay } from "./replay.ts";
import { blobFolder, createSealer, type Sealer } from "./sealer.ts";
import { createSegmentReader } from "./segment-file.ts";
import type { LogKey, SegmentIndex } from "./segment-index.ts";

/** Decompressed bytes of one batch of a follower, unless it asks for fewer. */
const followBatchBytes = 1024 * 1024;

export type LogStoreOptions = {
  /** Where the journal lies; of this server alone. */
  directory: string;
  blobs: Blobs;
  segments: SegmentIndex;
  now?: () => Date;
  journalFileBytes?: number;
  /** How long to wait before sealing is tried again after it failed. */
  sealRetryMs?: number;
  /** How often followers look for what another server has sealed. */
  followPollMs?: number;
  /** Asks other servers to seal what they hold of a log that is not here; resolves when they did, or will not. */
  askOthers?: (key: LogKey, why: "read" | "append") => Promise<void>;
  /** Told of failures in the background; what failed is tried again. */
  onError?: (error: unknown) => void;
};

export type ReadRequest = LogKey & { fromLine: number; limitLines?: number; limitBytes?: number };
export type FollowRequest = ReadRequest & { signal?: AbortSignal };

export type LogStore = {
  /**
   * Takes the chunk that begins at the log's next line and resolves when it is durable. Lines that are there already
   * are answered with where to go on, and nothing is stored. `out_of_order` tells the line that is expected.
   */
  append(request: LogKey & LogChunk): Promise<{ nextLine: number }>;
  /** The first line that is not durable; `append`: for a runner, which may have come from another server. */
  nextLine(key: LogKey, why?: "read" | "append"): Promise<number>;
  /** The log takes no more lines; followers end, and it is sealed. Again is no error. */
  end(key: LogKey): Promise<{ nextLine: number }>;
  read(request: ReadRequest): Promise<LogBatch>;
  /** The last `lines` lines, or the first of them that fit one read. */
  tail(request: LogKey & { lines: number }): Promise<LogBatch>;
  /** Batches from `fromLine` on as they become durable, until the log ends or the signal aborts. */
  follow(request: FollowRequest): AsyncIterable<LogBatch>;
  /** Removes the logs of a workload under all fences, for good. */
  delete(workloadId: string): Promise<void>;
  /** Moves what is here of one log into a blob, for another server; answers whether there was anything. */
  sealLog(key: LogKey): Promise<boolean>;
  /** Moves everything into blobs and resolves when that is tried. */
  seal(): Promise<void>;
  /** How many fsyncs made what was appended durable. */
  readonly syncs: number;
  close(): Promise<void>;
};

type Deps = LogStoreOptions & { journal: Journal; catalog: LogCatalog; sealer: Sealer };

/** Opens the log store and takes up what an earlier process left in its journal. */
export async function openLogStore(options: LogStoreOptions): Promise<LogStore> {
  const {
    blobs,
    segments,
    now = () => new Date(),
    sealRetryMs = 5000,
    followPollMs = 2000,
    onError = () => undefined,
  } = options;
  const found: { entry: JournalEntry; place: JournalPlace }[] = [];
  let journal: Journal | undefined = undefined;
  const sealer = createSealer({ journal: () => journal!, blobs, segments, now, retryMs: sealRetryMs, onError });
  journal = await openJournal({
    directory: options.directory,
    ...(options.journalFileBytes === undefined ? {} : { fileBytes: options.journalFileBytes }),
    onEntry: (entry, place) => void found.push({ entry: withoutData(entry), place }),
    onRoll: () => sealer.request(),
  });
  const catalog = createLogCatalog(segments);
  const deps: Deps = { ...options, journal, catalog, sealer };
  const sources = { journal, segments: createSegmentReader(blobs) };
  const erase = (workloadId: string): Promise<void> => eraseWorkload(deps, workloadId);
  await replay(found, { catalog, track: sealer.track, erase });
  sealer.request();
  const read = async (log: LogState, request: ReadRequest): Promise<LogBatch> => {
    const limits = limitsOf(request);
    if (log.durableLine <= limits.fromLine) await reach(deps, log, "read");
    return await readLog(log, limits, sources);
  };
  return {
    append: (request) => append(deps, request),
    nextLine: (key, why = "read") =>
      catalog.use(checkLogKey(key), async (log) => {
        await reach(deps, log, why);
        return log.durableLine;
      }),
    end: (key) => end(deps, key),
    read: (request) => catalog.use(checkLogKey(request), (log) => read(log, request)),
    tail: (request) =>
      catalog.use(checkLogKey(request), async (log) => {
        await reach(deps, log, "read");
        const fromLine = Math.max(0, log.durableLine - request.lines);
        return await read(log, { ...log.key, fromLine, limitLines: request.lines });
      }),
    async *follow(request) {
      const { log, release } = await catalog.acquire(checkLogKey(request));
      try {
        let fromLine = request.fromLine;
        while (request.signal?.aborted !== true) {
          const batch = await read(log, { limitBytes: followBatchBytes, ...request, fromLine });
          if (batch.chunks.length > 0) yield batch;
          fromLine = batch.nextLine;
          if (batch.isEnd) return;
          if (log.durableLine <= fromLine && !isEnded(log) && !log.isDeleted)
            await nextChange(log, followPollMs, request.signal);
        }
      } finally {
        release();
      }
    },
    delete: (workloadId) => deleteLogs(deps, workloadId),
    sealLog: (key) => catalog.use(checkLogKey(key), (log) => sealer.sealNow(log)),
    async seal() {
      await journal.roll();
      sealer.request();
      await sealer.idle();
    },
    get syncs() {
      return journal.syncs;
    },
    async close() {
      await sealer.close();
      await journal.close();
    },
  };
}

/** Sees to it that what other servers have of a log is known here: what they sealed, and what they are asked to seal. */
async function reach({ catalog, askOthers }: Deps, log: LogState, why: "read" | "append"): Promise<void> {
  if (!isElsewhere(log)) return;
  await askOthers?.(log.key, why);
  await catalog.refresh(log);
}

async function append(deps: Deps, request: LogKey & LogChunk): Promise<{ nextLine: number }> {
  const { catalog, journal, sealer } = deps;
  const { data, ...numbers } = request;
  const chunk = { firstLine: numbers.firstLine, count: numbers.count, size: numbers.size };
  refuseInvalid(() => verifyChunk({ ...chunk, data }));
  return await catalog.use(checkLogKey(request), async (log) => {
    if (chunk.firstLine > log.acceptedLine) await reach(deps, log, "append");
    else if (chunk.firstLine < log.acceptedLine) await catalog.refresh(log);
    if (log.isDeleted) throw new LogStoreError("deleted", `log of ${log.key.workloadId} is deleted`);
    if (chunk.firstLine < log.acceptedLine) {
      await log.lastCommit;
      return { nextLine: log.durableLine };
    }
    if (log.life.phase !== "open") {
      throw new LogStoreError("ended", `log of ${log.key.workloadId} has ended at line ${log.acceptedLine}`);
    }
    if (chunk.firstLine > log.acceptedLine) throw outOfOrder(log, chunk.firstLine, log.acceptedLine);
    const place = await commit(log, chunk.firstLine + chunk.count, () =>
      journal.append({ kind: "chunk", ...log.key, chunk: { ...chunk, data } }),
    );
    if (log.isDeleted) throw new LogStoreError("deleted", `log of ${log.key.workloadId} is deleted`);
    if (!addDurable(log, { ...chunk, place })) throw outOfOrder(log, chunk.firstLine, log.durableLine);
    sealer.track(log);
    return { nextLine: log.durableLine };
  });
}

/** Accepts the lines before `acceptedLine` until they are durable, or takes that back with all that came after. */
async function commit(log: LogState, acceptedLine: number, write: () => Promise<JournalPlace>): Promise<JournalPlace> {
  let written: Promise<JournalPlace>;
  try {
    written = write();
  } catch (error) {
    throw fromJournal(error);
  }
  log.acceptedLine = acceptedLine;
  log.lastCommit = written.catch(() => undefined);
  try {
    return await written;
  } catch (error) {
    log.acceptedLine = log.durableLine;
    throw fromJournal(error);
  }
}

async function end({ catalog, journal, sealer }: Deps, key: LogKey): Promise<{ nextLine: number }> {
  return await catalog.use(checkLogKey(key), async (log) => {
    if (log.life.phase === "ending") await log.lastCommit;
    if (isEnded(log)) return { nextLine: log.durableLine };
    log.life = { phase: "ending" };
    try {
      const place = await commit(log, log.acceptedLine, () => journal.append({ kind: "end", ...log.key }));
      log.life = { phase: "ended", place };
    } catch (error) {
      log.life = { phase: "open" };
      throw error;
    }
    wake(log);
    sealer.track(log);
    sealer.request();
    return { nextLine: log.durableLine };
  });
}

/** Notes the deletion in the journal first, so that a crash on the way is made good at the next opening. */
async function deleteLogs(deps: Deps, workloadId: string): Promise<void> {
  const { catalog, journal, sealer } = deps;
  checkLogKey({ workloadId, fence: 1n });
  const hold = sealer.hold();
  try {
    await journal.append({ kind: "delete", workloadId, fence: 0n });
    const logs = await catalog.startDelete(workloadId);
    for (const log of logs) {
      log.isDeleted = true;
      sealer.forget(log);
      wake(log);
    }
    await Promise.allSettled(logs.flatMap(({ sealing, lastCommit }) => [sealing ?? Promise.resolve(), lastCommit]));
    await eraseWorkload(deps, workloadId);
    catalog.finishDelete(workloadId);
  } catch (error) {
    throw fromJournal(error);
  } finally {
    hold.release();
    sealer.request();
  }
}

async function eraseWorkload({ segments, blobs }: Deps, workloadId: string): Promise<void> {
  await segments.delete(workloadId);
  for await (const key of blobs.list(`logs/${workloadId}`)) await blobs.delete(key);
}

function outOfOrder(log: LogState, firstLine: number, expectedLine: number): LogStoreError {
  const message = `chunk of ${log.key.workloadId} begins at line ${firstLine}, expected is line ${expectedLine}`;
  return new LogStoreError("out_of_order", message, { expectedLine });
}

function fromJournal(error: unknown): unknown {
  if (!(error instanceof JournalError) || error.reason !== "overloaded") return error;
  return new LogStoreError("overloaded", error.message, { cause: error });
}

function limitsOf({ fromLine, limitLines, limitBytes }: ReadRequest): Parameters<typeof readLog>[1] {
  return {
    fromLine: refuseInvalid(() => lineNumber(fromLine)),
    limitLines: Math.max(1, limitLines ?? Number.MAX_SAFE_INTEGER),
    limitBytes: Math.min(limitBytes ?? maximumReadBytes, maximumReadBytes),
  };
}

function checkLogKey<T extends LogKey>(key: T): T {
  const { workloadId, fence } = key;
  if (fence < 1n || fence >= 1n << 63n) throw new LogStoreError("invalid", `fence ${fence} is not a positive int64`);
  if (workloadId.length > maximumWorkloadIdBytes) {
    throw new LogStoreError("invalid", `workload id is above ${maximumWorkloadIdBytes} bytes`);
  }
  if (workloadId.includes("/"))
    throw new LogStoreError("invalid", `workload id ${JSON.stringify(workloadId)} has a slash`);
  try {
    checkKey(blobFolder({ workloadId, fence }));
  } catch (cause) {
    throw new LogStoreError("invalid", `workload id ${JSON.stringify(workloadId)} is not one`, { cause });
  }
  return key;
}

function refuseInvalid<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof LogFormatError)) throw error;
    throw new LogStoreError("invalid", error.message, { cause: error });
  }
}

function withoutData(entry: JournalEntry): JournalEntry {
  return entry.kind === "chunk" ? { ...entry, chunk: { ...entry.chunk, data: new Uint8Array(0) } } : entry;
}
