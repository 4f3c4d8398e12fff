import { createCipheriv, createDecipheriv, createHash, randomBytes, randomUUID } from "node:crypto";
import { link, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { fromBase32, toBase32 } from "../../../wire/ids.ts";
import { joinWithLengths } from "../../../wire/length-prefix.ts";

/** The key under which the database keeps what must be read back (I6). */
export interface MasterKey {
  /** 16 hexadecimal digits that name the key and say nothing about it. */
  readonly id: string;
  /**
   * Encrypts with AES-256-GCM, bound to `context`: what it is and whose (`authority/root`,
   * `workload/wkl_…/environment`), so that a value moved to another row does not open.
   */
  seal(plaintext: Uint8Array, context: string): Uint8Array;
  /** Decrypts what `seal` made for the same context; or says why it cannot. */
  open(sealed: Uint8Array, context: string): Uint8Array | { readonly error: string };
}

const prefix = "agyn_mk_";
const keyBytes = 32;
const checksumBytes = 4;
const maxFileBytes = 1024;

const version = 1;
const idBytes = 8;
const ivBytes = 12;
const tagBytes = 16;
const headerBytes = 1 + idBytes + ivBytes;

/**
 * Loads the master key of a file; where the file is missing and `create` is set, makes it first (0600, whole or not at
 * all, so that of two starts at once both get the same key). Throws where it is missing otherwise, can be read by
 * others, or is damaged.
 */
export async function openMasterKey({ file, create }: { file: string; create: boolean }): Promise<MasterKey> {
  const found = await read(file);
  if (found !== undefined) return masterKeyOf(found);
  if (!create) throw new Error(`master key ${file} does not exist`);

  await write(file, randomBytes(keyBytes));
  const made = await read(file);
  if (made === undefined) throw new Error(`master key ${file} vanished while it was made`);
  return masterKeyOf(made);
}

/** The master key of 32 bytes. */
export function masterKeyOf(key: Uint8Array): MasterKey {
  if (key.length !== keyBytes) throw new RangeError(`master key has ${key.length} bytes, not ${keyBytes}`);
  const id = createHash("sha256").update("agyn master key id v1").update(key).digest().subarray(0, idBytes);
  const associated = (header: Uint8Array, context: string) => joinWithLengths([header, context]);

  return {
    id: id.toString("hex"),

    seal(plaintext, context) {
      const iv = randomBytes(ivBytes);
      const header = Buffer.concat([Buffer.from([version]), id, iv]);
      const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(associated(header, context));
      const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      return new Uint8Array(Buffer.concat([header, body, cipher.getAuthTag()]));
    },

    open(sealed, context) {
      if (sealed.length < headerBytes + tagBytes || sealed[0] !== version) return { error: "not a sealed value" };
      const header = sealed.subarray(0, headerBytes);
      if (!id.equals(header.subarray(1, 1 + idBytes))) {
        const other = Buffer.from(header.subarray(1, 1 + idBytes)).toString("hex");
        return { error: `sealed under master key ${other}, but this is ${id.toString("hex")}` };
      }

      const body = sealed.subarray(headerBytes, -tagBytes);
      const decipher = createDecipheriv("aes-256-gcm", key, header.subarray(1 + idBytes))
        .setAAD(associated(header, context))
        .setAuthTag(sealed.subarray(-tagBytes));
      try {
        return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
      } catch {
        return { error: `sealed value was changed, or is not for ${context}` };
      }
    },
  };
}

async function read(file: string): Promise<Uint8Array | undefined> {
  const handle = await open(file, "r").catch(ignoreCode("ENOENT"));
  if (handle === undefined) return undefined;
  try {
    const { mode, size } = await handle.stat();
    if ((mode & 0o077) !== 0) throw new Error(`master key ${file} can be read by others: chmod 600 ${file}`);
    if (size > maxFileBytes) throw new Error(`master key ${file} is longer than ${maxFileBytes} bytes`);
    return parse(await handle.readFile("utf8"), file);
  } finally {
    await handle.close();
  }
}

function parse(text: string, file: string): Uint8Array {
  const line = text.trim();
  const bytes = line.startsWith(prefix) ? fromBase32(line.slice(prefix.length)) : undefined;
  const key = bytes?.subarray(0, keyBytes);
  if (
    bytes?.length !== keyBytes + checksumBytes ||
    key === undefined ||
    !checksum(key).equals(bytes.subarray(keyBytes))
  ) {
    throw new Error(`master key ${file} is damaged`);
  }
  return key;
}

async function write(file: string, key: Uint8Array): Promise<void> {
  const temporary = `${file}.${randomUUID()}`;
  const handle = await open(temporary, "wx", 0o600);
  try {
    await handle.writeFile(`${prefix}${toBase32(Buffer.concat([key, checksum(key)]))}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  // A link, unlike a rename, never replaces the key that another start has made meanwhile.
  try {
    await link(temporary, file).catch(ignoreCode("EEXIST"));
  } finally {
    await unlink(temporary);
  }
  await syncDirectory(dirname(file));
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

function ignoreCode(code: string): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof Error && "code" in error && error.code === code) return undefined;
    throw error;
  };
}
