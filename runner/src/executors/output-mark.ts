import { Buffer } from "node:buffer";
import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

/** Where a sink stands: the number of its next line, and how many bytes of an output it holds of the line that is open. */
export type OutputPosition = { line: number; heldBytes: number };

/** A piece of an output that was about to be handed to a sink which stood at `position`. */
export type OutputPiece = { segment: number; offset: number; length: number; position: OutputPosition };

/**
 * Keeps which piece of an output is handed on, written before it is. A process that comes later sees by where the sink stands whether the
 * sink got it, and goes on before or behind it: nothing is lost or repeated. The file:
 *
 *     "agynmrk1" · segment (u64) · offset (u32) · length (u32) · line (u64) · held bytes (u32) · crc32 of all before (u32)
 *
 * All integers are big-endian.
 */
export type OutputMark = { write(piece: OutputPiece): void; close(): void };

const magic = "agynmrk1";
const markBytes = 40;

/** Opens the mark to write it; the file is made where it is missing, and what it said before is kept until the first writing. */
export function openOutputMark(path: string): OutputMark {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  const bytes = Buffer.alloc(markBytes);
  bytes.write(magic, 0, "latin1");
  return {
    write({ segment, offset, length, position }) {
      bytes.writeBigUInt64BE(BigInt(segment), 8);
      bytes.writeUInt32BE(offset, 16);
      bytes.writeUInt32BE(length, 20);
      bytes.writeBigUInt64BE(BigInt(position.line), 24);
      bytes.writeUInt32BE(position.heldBytes, 32);
      bytes.writeUInt32BE(crc32(bytes.subarray(0, 36)), 36);
      try {
        writeSync(file, bytes, 0, markBytes, 0);
      } catch {
        // A full disk takes away the mark's protection, not the output itself.
      }
    },
    close: () => closeSync(file),
  };
}

/** What an earlier process was about to hand on last, `undefined` where there is nothing whole. */
export function readOutputMark(path: string): OutputPiece | undefined {
  const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  if (bytes.length !== markBytes || bytes.toString("latin1", 0, 8) !== magic) return undefined;
  if (crc32(bytes.subarray(0, 36)) !== bytes.readUInt32BE(36)) return undefined;
  return {
    segment: Number(bytes.readBigUInt64BE(8)),
    offset: bytes.readUInt32BE(16),
    length: bytes.readUInt32BE(20),
    position: { line: Number(bytes.readBigUInt64BE(24)), heldBytes: bytes.readUInt32BE(32) },
  };
}
