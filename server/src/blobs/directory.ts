import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, rmdir, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "./make-directory.ts";
import { BlobError, checkKey, type BlobContent, type BlobRange, type Blobs } from "./blobs.ts";

const temporaryFolder = ".tmp";

/**
 * Opens a directory as a blob store. Files are 0600 and synced with their folder before `put` resolves. `owner` tells apart those who
 * share the directory: each clears away its own drafts only.
 */
export async function openBlobDirectory(options: { directory: string; owner?: string }): Promise<Blobs> {
  const root = options.directory;
  const temporary = join(root, options.owner === undefined ? temporaryFolder : `${temporaryFolder}-${options.owner}`);
  await rm(temporary, { recursive: true, force: true });
  await makeDirectory(temporary);
  const pathOf = (key: string): string => {
    checkKey(key);
    return join(root, key);
  };
  return {
    async put(key, content) {
      const path = pathOf(key);
      const draft = join(temporary, randomBytes(12).toString("hex"));
      try {
        const sizeBytes = await writeSynced(draft, content);
        await moveInto(root, draft, path);
        return { sizeBytes };
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
    },
    async get(key, range) {
      const file = await openToRead(pathOf(key), key);
      try {
        return await readRange(file, range);
      } finally {
        await file.close();
      }
    },
    async *stream(key, range) {
      const file = await openToRead(pathOf(key), key);
      const bounds = range === undefined ? {} : { start: range.offset, end: range.offset + range.length - 1 };
      if (range?.length === 0) return await file.close();
      yield* createReadStream("", { fd: file, ...bounds });
    },
    async delete(key) {
      const path = pathOf(key);
      await rm(path, { force: true });
      await syncFolder(dirname(path)).catch(ignoreMissing);
      await removeEmptyFolders(root, dirname(path));
    },
    async *list(prefix) {
      pathOf(prefix);
      yield* walk(root, prefix);
    },
    link: () => Promise.resolve(undefined),
  };
}

async function writeSynced(path: string, content: BlobContent): Promise<number> {
  const file = await open(path, "wx", 0o600);
  try {
    let sizeBytes = 0;
    for await (const piece of content instanceof Uint8Array ? [content] : content) {
      await file.writeFile(piece);
      sizeBytes += piece.length;
    }
    await file.sync();
    return sizeBytes;
  } finally {
    await file.close();
  }
}

/** A folder that was found may be gone a moment later, when the last other blob in it was deleted. */
const movesTried = 5;

async function moveInto(root: string, draft: string, path: string): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      await makeFolders(root, dirname(path));
      await rename(draft, path);
      await syncFolder(dirname(path));
      return;
    } catch (error) {
      if (!isMissing(error) || tried === movesTried) throw error;
    }
  }
}

/** Removes the folder and those above it, as far as nothing is in them. */
async function removeEmptyFolders(root: string, folder: string): Promise<void> {
  for (let empty = folder; empty !== root; empty = dirname(empty)) {
    try {
      await rmdir(empty);
    } catch (error) {
      if (isMissing(error)) continue;
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOTEMPTY" || code === "EEXIST") return;
      throw error;
    }
  }
}

/** Makes the folders down to `folder`, syncing the parent of each new one so that it survives a power cut. */
async function makeFolders(root: string, folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length && made !== root; made = dirname(made)) {
    await syncFolder(dirname(made));
  }
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function openToRead(path: string, key: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (isMissing(error)) throw new BlobError("not_found", `blob ${key} is not there`);
    throw error;
  }
}

async function readRange(file: FileHandle, range: BlobRange | undefined): Promise<Uint8Array> {
  const { size } = await file.stat();
  const offset = range?.offset ?? 0;
  const wanted = Math.max(0, Math.min(range?.length ?? size, size - offset));
  const bytes = Buffer.allocUnsafe(wanted);
  let length = 0;
  while (length < wanted) {
    const { bytesRead } = await file.read(bytes, length, wanted - length, offset + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return bytes.subarray(0, length);
}

async function* walk(root: string, prefix: string): AsyncIterable<string> {
  const entries = await readdir(join(root, prefix), { withFileTypes: true }).catch(ignoreMissing);
  for (const entry of entries ?? []) {
    const key = `${prefix}/${entry.name}`;
    if (entry.isDirectory()) yield* walk(root, key);
    else yield key;
  }
}

function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
  return undefined;
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}
