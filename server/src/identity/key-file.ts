/**
 * The file of the master key: a line for each key, the one that seals first. Behind it are those that it follows, for as long as
 * anything may be sealed under them.
 */
import { createHash, randomUUID } from "node:crypto";
import { link, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { fromBase32, toBase32 } from "../../../wire/ids.ts";

/** A key and those that it follows. */
export type KeyRing = readonly [current: Uint8Array, ...earlier: Uint8Array[]];

/** Why there is no master key to be had from a file, in words for the operator, who can mend it. */
export class KeyFileError extends Error {}

/** Of a master key. */
export const keyBytes = 32;
const prefix = "agyn_mk_";
const checksumBytes = 4;
const maxFileBytes = 1024;

/** The keys of a file, `undefined` where there is none. Throws a `KeyFileError` where it can be read by others, is damaged, or is no file. */
export async function readKeyFile(file: string): Promise<KeyRing | undefined> {
  const handle = await open(file, "r").catch(ignoreCode("ENOENT")).catch(refuseAs(file, "cannot be read"));
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new KeyFileError(`master key ${file} is not a file: name another with --master-key-file`);
    if ((stat.mode & 0o077) !== 0)
      throw new KeyFileError(`master key ${file} can be read by others: chmod 600 ${file}`);
    if (stat.size > maxFileBytes) throw new KeyFileError(`master key ${file} is longer than ${maxFileBytes} bytes`);
    const [current, ...earlier] = (await handle.readFile("utf8")).trim().split("\n");
    return [parse(current ?? "", file), ...earlier.map((line) => parse(line, file))];
  } finally {
    await handle.close();
  }
}

/** Makes a file that is not there: whole or not at all. Never replaces the key that another start has made meanwhile. */
export async function makeKeyFile(file: string, key: Uint8Array): Promise<void> {
  const temporary = await writeBeside(file, [key]).catch(refuseAs(file, "cannot be made"));
  try {
    await link(temporary, file).catch(ignoreCode("EEXIST"));
  } finally {
    await unlink(temporary);
  }
  await syncDirectory(dirname(file));
}

/** Puts these keys into the file, in place of those that are there: all or none. */
export async function replaceKeyFile(file: string, keys: KeyRing): Promise<void> {
  await rename(await writeBeside(file, keys), file);
  await syncDirectory(dirname(file));
}

function parse(line: string, file: string): Uint8Array {
  const text = line.trim();
  const bytes = text.startsWith(prefix) ? fromBase32(text.slice(prefix.length)) : undefined;
  const key = bytes?.subarray(0, keyBytes);
  if (
    bytes?.length !== keyBytes + checksumBytes ||
    key === undefined ||
    !checksum(key).equals(bytes.subarray(keyBytes))
  ) {
    throw new KeyFileError(`master key ${file} is damaged: put back the copy that was kept of it`);
  }
  return key;
}

async function writeBeside(file: string, keys: KeyRing): Promise<string> {
  const temporary = `${file}.${randomUUID()}`;
  const handle = await open(temporary, "wx", 0o600);
  try {
    const lines = keys.map((key) => `${prefix}${toBase32(Buffer.concat([key, checksum(key)]))}\n`);
    await handle.writeFile(lines.join(""));
    await handle.sync();
  } finally {
    await handle.close();
  }
  return temporary;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function checksum(key: Uint8Array): Buffer {
  return createHash("sha256").update(prefix).update(key).digest().subarray(0, checksumBytes);
}

function refuseAs(file: string, what: string): (error: unknown) => never {
  return (error) => {
    throw new KeyFileError(`master key ${file} ${what} (${(error as NodeJS.ErrnoException).code})`);
  };
}

function ignoreCode(code: string): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof Error && "code" in error && error.code === code) return undefined;
    throw error;
  };
}
