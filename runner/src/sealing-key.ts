import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileDurably } from "./atomic-file.ts";
import { ignoringCodes } from "./ignoring-codes.ts";
import { sealingKeyBytes } from "./executors/secret-file.ts";

/** The key under which this runner keeps the secrets of what runs, in a directory that jobs cannot see; made where there is none. */
export function openSealingKey(directory: string): Uint8Array {
  const path = join(directory, "sealing-key");
  const found = ignoringCodes(["ENOENT"], () => Buffer.from(readFileSync(path, "utf8"), "hex"));
  if (found?.length === sealingKeyBytes) return found;
  const key = randomBytes(sealingKeyBytes);
  writeFileDurably(path, key.toString("hex"));
  return key;
}
