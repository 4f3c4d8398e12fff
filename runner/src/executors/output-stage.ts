import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

/** Most bytes that are read from a pipe at once. */
export const stageBytes = 64 * 1024;

/** Where an output stands: the number of its next line, and how many bytes are held of the line that is open. */
export type OutputPosition = { line: number; heldBytes: number };

/**
 * Keeps what was read from a pipe last, in a file, until it has been taken: a process that is killed after the bytes left the
 * pipe finds them there. Reading goes into `buffer`, and `keep` is a single write, so that between the two system calls there is next
 * to nothing. The bytes end where the file's tail begins, which says how many they are and to which position they belong:
 *
 *     line (u64) · held bytes (u32) · length (u32) · crc32 of these (u32) · "agynstg1"
 *
 * All integers are big-endian. A write that a kill cuts short leaves the tail before it, whose position is over.
 */
export type OutputStage = {
  /** Where the next read goes to. */
  readonly buffer: Buffer;
  /** Keeps the first `length` bytes of the buffer, for an output that stands at `position`, and hands on a copy of them. */
  keep(length: number, position: OutputPosition): Buffer;
  close(): void;
};

const tailBytes = 28;
const magic = "agynstg1";

export function openOutputStage(path: string): OutputStage {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  const whole = Buffer.alloc(stageBytes + tailBytes);
  const tail = whole.subarray(stageBytes);
  tail.write(magic, 20, "latin1");
  return {
    buffer: whole.subarray(0, stageBytes),
    keep(length, { line, heldBytes }) {
      const start = stageBytes - length;
      if (start > 0) whole.copyWithin(start, 0, length);
      tail.writeBigUInt64BE(BigInt(line), 0);
      tail.writeUInt32BE(heldBytes, 8);
      tail.writeUInt32BE(length, 12);
      tail.writeUInt32BE(crc32(tail.subarray(0, 16)), 16);
      try {
        writeSync(file, whole, start, length + tailBytes, start);
      } catch {
        // A full disk takes away the stage's protection, not the output itself.
      }
      return Buffer.from(whole.subarray(start, stageBytes));
    },
    close: () => closeSync(file),
  };
}

/** What an earlier process had read and kept last, `undefined` where there is nothing whole. */
export function readStaged(path: string): { position: OutputPosition; bytes: Buffer } | undefined {
  const whole = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  if (whole.length !== stageBytes + tailBytes || whole.toString("latin1", stageBytes + 20) !== magic) return undefined;
  if (crc32(whole.subarray(stageBytes, stageBytes + 16)) !== whole.readUInt32BE(stageBytes + 16)) return undefined;
  const start = stageBytes - whole.readUInt32BE(stageBytes + 12);
  const position = { line: Number(whole.readBigUInt64BE(stageBytes)), heldBytes: whole.readUInt32BE(stageBytes + 8) };
  return { position, bytes: whole.subarray(start, stageBytes) };
}
