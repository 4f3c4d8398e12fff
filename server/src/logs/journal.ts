/**
 * The journal takes the entries of all logs of one server into one file, so that many appends cost one fsync.
 *
 * 1. `append` resolves once the entry is on disk (I4); entries are in the file in the order of the calls.
 * 2. A group that fails fails whole, and with it everything queued behind it, so that no entry stands after a lost one.
 * 3. A failed fsync leaves unknown what is on disk: the journal takes nothing more until it is opened anew.
 * 4. Files go in order, the oldest first: what an entry undoes never outlives it.
 */
import { mkdir, open, readdir, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../blobs/directory.ts";
import { encodeEntry, readEntries, type EncodedEntry, type JournalEntry } from "./journal-file.ts";

/** Bytes after which a journal file is closed and the next begun. */
const defaultJournalFileBytes = 64 * 1024 * 1024;
/** Bytes that may wait for their turn to be written. */
const maximumQueuedBytes = 64 * 1024 * 1024;
/** Files that may wait for their chunks to be sealed. */
const maximumFiles = 64;
/** Bytes written with one fsync. */
const maximumGroupBytes = 8 * 1024 * 1024;
const fileName = /^journal-(\d{10})$/;

type JournalErrorReason = "overloaded" | "unavailable" | "gone";

/** `overloaded`: try again later; `unavailable`: the disk failed; `gone`: the file that held it is removed. */
export class JournalError extends Error {
  override name = "JournalError";
  readonly reason: JournalErrorReason;

  constructor(reason: JournalErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Where a chunk's data lies. */
export type JournalPlace = { sequence: number; offset: number; length: number };

export type Journal = {
  /** Throws at once, before anything is queued, when it takes nothing now. */
  append(entry: JournalEntry): Promise<JournalPlace>;
  read(place: JournalPlace): Promise<Buffer>;
  /** Begins a new file after what is queued, so that the files before it can be emptied. */
  roll(): Promise<void>;
  /** How many groups were made durable since the opening, each with one fsync. */
  readonly syncs: number;
  /** The file that is written to. */
  readonly sequence: number;
  /** Removes every file before `sequence`. */
  removeBefore(sequence: number): Promise<void>;
  close(): Promise<void>;
};

export type JournalOptions = {
  directory: string;
  fileBytes?: number;
  /** Called for each entry that is found at opening, oldest first. */
  onEntry(entry: JournalEntry, place: JournalPlace): void;
  /** Called after a file was closed and the next begun. */
  onRoll(sequence: number): void;
};

type Waiting = EncodedEntry & { resolve(place: JournalPlace): void; reject(error: Error): void };
type OpenFile = { sequence: number; handle: FileHandle; sizeBytes: number };

/** Opens the journal of a directory and tells what is in it. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, fileBytes = defaultJournalFileBytes } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const files = await readFiles(options);
  let current = await createFile(directory, (files.at(-1)?.sequence ?? 0) + 1);
  files.push(current);
  let queue: Waiting[] = [];
  let queuedBytes = 0;
  let isRollWanted = false;
  let syncs = 0;
  let broken: Error | undefined;
  let writing: Promise<void> | undefined;

  function failAll(waiting: readonly Waiting[], cause: unknown): void {
    const error = new JournalError("unavailable", `journal ${directory} cannot be written`, { cause });
    for (const { reject } of [...waiting, ...queue]) reject(error);
    queue = [];
    queuedBytes = 0;
  }

  async function roll(): Promise<void> {
    current = await createFile(directory, current.sequence + 1);
    files.push(current);
    options.onRoll(current.sequence);
  }

  async function writeGroup(group: readonly Waiting[]): Promise<void> {
    const { handle, sizeBytes, sequence } = current;
    try {
      await writeAll(handle, Buffer.concat(group.map(({ bytes }) => bytes)), sizeBytes);
    } catch (error) {
      await handle.truncate(sizeBytes).catch((failure: Error) => (broken = failure));
      return failAll(group, error);
    }
    try {
      await handle.datasync();
      syncs += 1;
    } catch (error) {
      broken = error as Error;
      return failAll(group, error);
    }
    for (const { bytes, dataOffset, resolve } of group) {
      resolve({ sequence, offset: current.sizeBytes + dataOffset, length: bytes.length - dataOffset });
      current.sizeBytes += bytes.length;
    }
  }

  function takeGroup(): Waiting[] {
    let bytes = 0;
    const fits = queue.findIndex((waiting) => (bytes += waiting.bytes.length) > maximumGroupBytes);
    const group = fits < 0 ? queue : queue.slice(0, Math.max(1, fits));
    queue = queue.slice(group.length);
    for (const waiting of group) queuedBytes -= waiting.bytes.length;
    return group;
  }

  async function writeQueue(): Promise<void> {
    while (queue.length > 0 || isRollWanted) {
      try {
        if (current.sizeBytes >= (isRollWanted ? 1 : fileBytes)) await roll();
      } catch (error) {
        failAll([], error);
      }
      isRollWanted = false;
      if (queue.length > 0) await writeGroup(takeGroup());
    }
    writing = undefined;
  }

  function refuseUnlessReady(bytes: number): void {
    if (broken !== undefined) {
      throw new JournalError("unavailable", `journal ${directory} is broken`, { cause: broken });
    }
    if (queuedBytes + bytes > maximumQueuedBytes) {
      throw new JournalError("overloaded", `journal ${directory} has ${queuedBytes} bytes waiting`);
    }
    if (files.length > maximumFiles) {
      throw new JournalError("overloaded", `journal ${directory} has ${files.length} files that are not sealed`);
    }
  }

  return {
    append(entry) {
      const encoded = encodeEntry(entry);
      refuseUnlessReady(encoded.bytes.length);
      queuedBytes += encoded.bytes.length;
      return new Promise((resolve, reject) => {
        queue.push({ ...encoded, resolve, reject });
        writing ??= Promise.resolve().then(writeQueue);
      });
    },
    async read(place) {
      const file = files.find(({ sequence }) => sequence === place.sequence);
      if (file === undefined) throw new JournalError("gone", `journal file ${place.sequence} is removed`);
      const bytes = Buffer.allocUnsafe(place.length);
      const { bytesRead } = await file.handle.read(bytes, 0, place.length, place.offset);
      if (bytesRead < place.length)
        throw new JournalError("unavailable", `journal file ${place.sequence} is cut short`);
      return bytes;
    },
    async roll() {
      isRollWanted = true;
      await (writing ??= Promise.resolve().then(writeQueue));
    },
    get syncs() {
      return syncs;
    },
    get sequence() {
      return current.sequence;
    },
    async removeBefore(sequence) {
      while (files[0] !== undefined && files[0].sequence < Math.min(sequence, current.sequence)) {
        const file = files.shift()!;
        await rm(pathOf(directory, file.sequence), { force: true });
        await syncFolder(directory);
        await file.handle.close();
      }
    },
    async close() {
      while (writing !== undefined) await writing;
      broken ??= new JournalError("unavailable", "journal is closed");
      await Promise.all(files.map(({ handle }) => handle.close()));
    },
  };
}

/**
 * Every file there is, read through up to what was torn when the last process died. No old file is written again, so
 * nothing needs to be cut off.
 */
async function readFiles({ directory, onEntry }: JournalOptions): Promise<OpenFile[]> {
  const files: OpenFile[] = [];
  for (const name of (await readdir(directory)).toSorted()) {
    const digits = fileName.exec(name)?.[1];
    if (digits === undefined) continue;
    const sequence = Number(digits);
    const handle = await open(join(directory, name), "r");
    let sizeBytes = 0;
    for await (const { entry, endOffset, dataOffset } of readEntries(handle)) {
      onEntry(entry, { sequence, offset: dataOffset, length: endOffset - dataOffset });
      sizeBytes = endOffset;
    }
    files.push({ sequence, handle, sizeBytes });
  }
  return files;
}

async function createFile(directory: string, sequence: number): Promise<OpenFile> {
  const handle = await open(pathOf(directory, sequence), "w+", 0o600);
  await syncFolder(directory);
  return { sequence, handle, sizeBytes: 0 };
}

async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

function pathOf(directory: string, sequence: number): string {
  return join(directory, `journal-${String(sequence).padStart(10, "0")}`);
}
