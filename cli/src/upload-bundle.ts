/* Packs a directory or a file as a bundle, and uploads it: the same files always give the same digest. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { createZstdCompress } from "node:zlib";
import type { Client } from "@connectrpc/connect";
import type { ArtifactsService } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { packTar, type TarFile } from "../../wire/tar.ts";
import { exitCodes, Failure } from "./failures.ts";

/** What a bundle may hold. */
const maximumFiles = 100_000;
const maximumBytes = 4 * 1024 ** 3;
const partBytes = 4 * 1024 * 1024;
/** How often one part is sent again where the link fails. */
const maximumTries = 5;
const maximumListBytes = 64 * 1024 * 1024;

/** What was uploaded. `skipped`: what is left out, and what it is. */
export type UploadedBundle = { sha256: string; sizeBytes: number; files: number; skipped: string[] };

/**
 * Uploads a directory (what git ignores is left out where it lies in a repository) or one file, unless the organization has
 * the same files already. Answers the digest, which a run is started with.
 */
export async function uploadBundle(
  { artifacts }: { artifacts: Client<typeof ArtifactsService> },
  path: string,
  organization = "",
): Promise<UploadedBundle> {
  const { files, skipped } = await listFiles(resolve(path));
  const folder = await mkdtemp(join(tmpdir(), "agynctl-bundle-"));
  try {
    const packed = join(folder, "bundle.tar.zst");
    await pipeline(Readable.from(packTar(files)), createZstdCompress(), createWriteStream(packed, { mode: 0o600 }));
    const sha256 = await digestOf(packed);
    const sizeBytes = (await lstat(packed)).size;
    const { uploadId, complete } = await artifacts.createUpload({ organization, sha256 });
    if (!complete) {
      await sendParts(packed, (offset, data) =>
        artifacts.writeUpload({ organization, uploadId, offset: BigInt(offset), data }),
      );
      await artifacts.finishUpload({ organization, uploadId, sha256 });
    }
    return { sha256, sizeBytes, files: files.length, skipped };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Send = (offset: number, data: Uint8Array) => Promise<{ receivedBytes: bigint }>;

/** Sends a file in parts, going on where the control plane says it stands. */
async function sendParts(path: string, send: Send): Promise<void> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(partBytes);
    for (let offset = 0; offset < size;) {
      const { bytesRead } = await file.read(buffer, 0, partBytes, offset);
      offset = await sendPart(send, offset, buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** Answers where the control plane stands afterwards. */
async function sendPart(send: Send, offset: number, data: Uint8Array): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    try {
      return Number((await send(offset, data)).receivedBytes);
    } catch (error) {
      if (tries >= maximumTries) throw error;
    }
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

type Listed = { files: TarFile[]; skipped: string[] };

async function listFiles(path: string): Promise<Listed> {
  const status = await lstat(path).catch(() => undefined);
  if (status === undefined) throw new Failure(`${path} is not there`, exitCodes.usage);
  const isFile = status.isFile();
  const root = isFile ? dirname(path) : path;
  const names = isFile ? [basename(path)] : ((await namesFromGit(root)) ?? (await namesBelow(root)));
  const listed: Listed = { files: [], skipped: [] };
  let bytes = 0;
  for (const name of names.toSorted((a, b) => (a < b ? -1 : 1))) {
    const file = await describe(root, name);
    if (file === undefined) continue;
    if (typeof file === "string") {
      listed.skipped.push(`${name} ${file}`);
      continue;
    }
    bytes += file.sizeBytes;
    if (bytes > maximumBytes) throw new Failure(`${path} holds more than ${maximumBytes} bytes`, exitCodes.usage);
    listed.files.push(file);
  }
  if (listed.files.length === 0) throw new Failure(`${path} holds no files`, exitCodes.usage);
  return listed;
}

/** A file; or why it is left out, in words that follow its name; or nothing where it is gone. */
async function describe(root: string, name: string): Promise<TarFile | string | undefined> {
  const path = join(root, name);
  const status = await lstat(path).catch(() => undefined);
  // In git's index, but removed since; or read as text from a name that is none.
  if (status === undefined) return name.includes("\uFFFD") ? "has a name that is not UTF-8" : undefined;
  if (!status.isFile()) return "is a link, or no plain file";
  return {
    path: name,
    isExecutable: (status.mode & 0o100) !== 0,
    sizeBytes: status.size,
    content: () => createReadStream(path),
  };
}

/** What git knows and what it does not ignore; `undefined` where there is no repository, or no git. */
async function namesFromGit(root: string): Promise<string[] | undefined> {
  try {
    const list = ["-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    const { stdout } = await promisify(execFile)("git", list, { maxBuffer: maximumListBytes });
    return limited(stdout.split("\0").filter((name) => name !== ""));
  } catch (error) {
    if (error instanceof Failure) throw error;
    return undefined;
  }
}

async function namesBelow(root: string): Promise<string[]> {
  const names: string[] = [];
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) await visit(name);
      else names.push(name);
      limited(names);
    }
  };
  await visit("");
  return names;
}

function limited(names: string[]): string[] {
  if (names.length > maximumFiles) throw new Failure(`there are more than ${maximumFiles} files`, exitCodes.usage);
  return names;
}
