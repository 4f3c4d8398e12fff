import { chownSync, closeSync, constants, fstatSync, openSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Mask } from "./mask.ts";

/** What a job may hand on: as many values, each of so many bytes. */
export const maximumOutputs = 64;
/** How long one output may be. */
export const maximumOutputBytes = 16 * 1024;
/** Read of the file; names and lines that were overwritten by later ones included. */
const maximumFileBytes = 2 * 1024 * 1024;
/** Lines of the log that say what is refused. */
const maximumRefusals = 20;

/** The values a job hands on, and what of its file is refused and why. */
export type JobOutputs = { outputs: Record<string, string>; refusals: string[] };

/** Where the job finds its file, `$AGYN_OUTPUT`. */
export function outputPath(jobDirectory: string): string {
  return join(jobDirectory, "output");
}

/** Makes the empty file, the job's own. */
export function createOutputFile(jobDirectory: string, uid: number | undefined): void {
  const path = outputPath(jobDirectory);
  writeFileSync(path, "", { mode: 0o600, flag: "wx" });
  if (uid !== undefined) chownSync(path, uid, uid);
}

/** Reads the file of a job that has ended. The job may have put anything in its place: only a plain file of one name is read. */
export function readOutputs(jobDirectory: string, mask: Mask): JobOutputs {
  const refused = (why: string): JobOutputs => ({
    outputs: {},
    refusals: [`the file $AGYN_OUTPUT is not read: ${why}`],
  });
  let file: number;
  try {
    file = openSync(outputPath(jobDirectory), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return { outputs: {}, refusals: [] };
    return refused(code === "ELOOP" ? "it is a link" : String(code));
  }
  try {
    const status = fstatSync(file);
    if (!status.isFile()) return refused("it is not a file");
    if (status.nlink > 1) return refused("it has another name");
    const bytes = readUpTo(file, maximumFileBytes);
    const outputs = parseOutputs(bytes, mask);
    if (status.size > maximumFileBytes)
      outputs.refusals.unshift(`of the file $AGYN_OUTPUT, what is beyond ${maximumFileBytes} bytes is not read`);
    return outputs;
  } finally {
    closeSync(file);
  }
}

/** Reads `name=value` lines; of a name's values the last counts. What holds a secret is handed on to nobody (I6). */
export function parseOutputs(bytes: Uint8Array, mask: Mask): JobOutputs {
  const outputs = new Map<string, string>();
  const refusals: string[] = [];
  let refused = 0;
  const refuse = (line: number, why: string): void => {
    refused += 1;
    if (refused <= maximumRefusals) refusals.push(`line ${line} of $AGYN_OUTPUT is refused: ${why}`);
  };
  for (const [index, line] of splitLines(bytes).entries()) {
    if (line.length === 0) continue;
    const text = decode(line);
    if (text === undefined) refuse(index + 1, "it is not UTF-8, or holds a NUL");
    else if (holdsSecret(line, mask)) refuse(index + 1, "it holds the value of a secret, which outputs cannot carry");
    else takeLine(text, outputs, (why) => refuse(index + 1, why));
  }
  if (refused > maximumRefusals) refusals.push(`${refused - maximumRefusals} more lines of $AGYN_OUTPUT are refused`);
  return { outputs: Object.fromEntries(outputs), refusals };
}

function takeLine(text: string, outputs: Map<string, string>, refuse: (why: string) => void): void {
  const [, name, value] = /^([A-Za-z_][A-Za-z0-9_-]{0,62})=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) return refuse("it is not name=value");
  if (Buffer.byteLength(value) > maximumOutputBytes) {
    return refuse(`the value of ${name} is above ${maximumOutputBytes} bytes`);
  }
  if (!outputs.has(name) && outputs.size >= maximumOutputs) {
    return refuse(`${name} would be more than ${maximumOutputs} outputs`);
  }
  outputs.set(name, value);
}

function holdsSecret(line: Uint8Array, mask: Mask): boolean {
  const bytes = Buffer.from(line);
  return !mask.apply(bytes, true).bytes.equals(bytes);
}

function splitLines(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    const isCrLf = end > start && bytes[end - 1] === 0x0d;
    lines.push(bytes.subarray(start, isCrLf ? end - 1 : end));
    start = end + 1;
  }
  return lines;
}

function decode(line: Uint8Array): string | undefined {
  if (line.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line);
  } catch {
    return undefined;
  }
}

function readUpTo(file: number, maximum: number): Uint8Array {
  const bytes = Buffer.alloc(Math.min(maximum, fstatSync(file).size));
  let length = 0;
  while (length < bytes.length) {
    const read = readSync(file, bytes, length, bytes.length - length, length);
    if (read === 0) break;
    length += read;
  }
  return bytes.subarray(0, length);
}
