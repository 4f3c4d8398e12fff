import { createHash, randomBytes } from "node:crypto";
import { link, lstat, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { artifactNameFault } from "../../wire/artifact-name.ts";
import { Failure, UsageError } from "./failures.ts";

/** What is saved: its digest and size, as the control plane says them. */
export type Expected = { sha256: string; sizeBytes: number };

/** The name for a file of the current directory; the control plane's word is not taken for a path. */
export function safeFileName(name: string): string {
  const fault = artifactNameFault(name);
  if (fault !== undefined) {
    throw new Failure(
      `the artifact's name ${JSON.stringify(name)} is none for a file: ${fault}`,
      1,
      "choose one with --file",
    );
  }
  return name;
}

/**
 * Writes the bytes to a file that is there whole or not at all, once their digest is right. What is there already stays, unless
 * `isForced`.
 */
export async function saveArtifact(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  { sha256, sizeBytes, isForced }: Expected & { isForced: boolean },
): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there?.isDirectory()) throw new UsageError(`${path} is a directory`, "name the file in it");
  if (!isForced && there) throw new UsageError(`${path} is there already`, "overwrite it with --force");
  const draft = join(dirname(path), `.${basename(path).slice(0, 100)}.${randomBytes(6).toString("hex")}`);
  const file = await open(draft, "wx", 0o666).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be written: ${error.code ?? error.message}`);
  });
  try {
    await writeChecked(file, bytes, { sha256, sizeBytes });
    await file.close();
    if (isForced) await rename(draft, path);
    else await publish(draft, path);
  } finally {
    await file.close().catch(() => undefined);
    await rm(draft, { force: true });
  }
}

type Writable = { writeFile(data: Uint8Array): Promise<void> };

async function writeChecked(file: Writable, bytes: AsyncIterable<Uint8Array>, expected: Expected): Promise<void> {
  const hash = createHash("sha256");
  let length = 0;
  for await (const piece of bytes) {
    length += piece.length;
    if (length > expected.sizeBytes) break;
    hash.update(piece);
    await file.writeFile(piece);
  }
  if (length !== expected.sizeBytes) throw new Failure(`${length} bytes came instead of ${expected.sizeBytes}`);
  if (hash.digest("hex") !== expected.sha256)
    throw new Failure(`what came does not have the SHA-256 ${expected.sha256}`);
}

/** A link never replaces what another program put there meanwhile. */
async function publish(draft: string, path: string): Promise<void> {
  try {
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new UsageError(`${path} is there already`, "overwrite it with --force");
  }
}
