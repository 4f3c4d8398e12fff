import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ignoringCodes } from "./ignoring-codes.ts";

/**
 * Replaces a file, 0600: a crash at any moment leaves the old content or the new, and after the return it is the new
 * one, also after a power cut.
 */
export function writeFileDurably(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  const file = openSync(draft, "wx", 0o600);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
  syncFolder(dirname(path));
}

/** As `writeFileDurably` in a folder that is there, but only safe against the death of a process, not of the machine. */
export function writeFileAtomically(path: string, content: string): void {
  writeFileSync(`${path}.new`, content, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The text of the file, or `undefined` where there is none. */
export function readIfThere(path: string): string | undefined {
  return ignoringCodes(["ENOENT"], () => readFileSync(path, "utf8"));
}

/** Removes a file; after the return it stays away, also after a power cut. */
export function removeFileDurably(path: string): void {
  rmSync(path, { force: true });
  syncFolder(dirname(path));
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
