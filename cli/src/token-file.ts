import { closeSync, fsyncSync, openSync, unlinkSync, writeSync } from "node:fs";
import { Failure, UsageError } from "./failures.ts";

/** A new file, kept open from before the token exists, so that a token that was made is never lost to a bad path. */
export interface TokenFile {
  readonly path: string;
  write(token: string): void;
  /** Removes the file where nothing was written to it. */
  close(): void;
}

/** Creates the file, 0600; refuses to overwrite. */
export function createTokenFile(path: string): TokenFile {
  const file = open(path);
  let isWritten = false;
  return {
    path,
    write(token) {
      writeSync(file, `${token}\n`);
      fsyncSync(file);
      isWritten = true;
    },
    close() {
      closeSync(file);
      if (!isWritten) unlinkSync(path);
    },
  };
}

function open(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EEXIST")
      throw new UsageError(`${path} exists already and is not overwritten: choose another file, or remove it`);
    throw new Failure(`cannot create ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
