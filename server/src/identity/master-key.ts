import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { joinWithLengths } from "../../../wire/length-prefix.ts";
import { KeyFileError, keyBytes, makeKeyFile, readKeyFile, type KeyRing } from "./key-file.ts";

/** The key under which the database keeps what must be read back (I6). */
export interface MasterKey {
  /** 16 hexadecimal digits that name the key and say nothing about it. */
  readonly id: string;
  /**
   * Encrypts with AES-256-GCM, bound to `context`: what it is and whose (`authority/root`,
   * `workload/wkl_…/environment`), so that a value moved to another row does not open.
   */
  seal(plaintext: Uint8Array, context: string): Uint8Array;
  /** Decrypts what `seal` made for the same context, now or under an earlier key of the file; or says why it cannot. */
  open(sealed: Uint8Array, context: string): Uint8Array | { readonly error: string };
  /** Whether a value was sealed under this key, not an earlier one. */
  hasSealed(sealed: Uint8Array): boolean;
}

const version = 1;
const idBytes = 8;
const ivBytes = 12;
const tagBytes = 16;
const headerBytes = 1 + idBytes + ivBytes;

/**
 * Loads the master key of a file; where the file is missing and `create` is set, makes it first (0600, whole or not at
 * all, so that of two starts at once both get the same key). Throws a `KeyFileError` where it is missing otherwise, can be
 * read by others, or is damaged.
 */
export async function openMasterKey({ file, create }: { file: string; create: boolean }): Promise<MasterKey> {
  const found = await readKeyFile(file);
  if (found !== undefined) return masterKeyOf(...found);
  if (!create) throw new KeyFileError(`master key ${file} does not exist: copy it from where it was made`);

  await makeKeyFile(file, randomBytes(keyBytes));
  const made = await readKeyFile(file);
  if (made === undefined) throw new KeyFileError(`master key ${file} vanished while it was made`);
  return masterKeyOf(...made);
}

/** The master key of 32 bytes, which opens also what earlier ones have sealed. */
export function masterKeyOf(...[key, ...earlier]: KeyRing): MasterKey {
  if (key.length !== keyBytes) throw new RangeError(`master key has ${key.length} bytes, not ${keyBytes}`);
  const id = keyId(key);
  const keys = new Map([key, ...earlier].map((one) => [keyId(one).toString("hex"), one]));
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
      const sealedUnder = Buffer.from(header.subarray(1, 1 + idBytes)).toString("hex");
      const own = keys.get(sealedUnder);
      if (!own) return { error: `sealed under master key ${sealedUnder}, but this is ${id.toString("hex")}` };

      const body = sealed.subarray(headerBytes, -tagBytes);
      const decipher = createDecipheriv("aes-256-gcm", own, header.subarray(1 + idBytes))
        .setAAD(associated(header, context))
        .setAuthTag(sealed.subarray(-tagBytes));
      try {
        return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
      } catch {
        return { error: `sealed value was changed, or is not for ${context}` };
      }
    },

    hasSealed: (sealed) => sealed[0] === version && id.equals(sealed.subarray(1, 1 + idBytes)),
  };
}

/** Names a key, and says nothing about it. */
export function keyId(key: Uint8Array): Buffer {
  return createHash("sha256").update("agyn master key id v1").update(key).digest().subarray(0, idBytes);
}
