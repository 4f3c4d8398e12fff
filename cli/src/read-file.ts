import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { Failure, UsageError } from "./failures.ts";

/** The text of a file; a UsageError where it cannot be read, is no UTF-8, or is longer than `maximumBytes`, of which no more is read. */
export async function readBounded(path: string, maximumBytes: number): Promise<string> {
  try {
    await using file = await open(path, "r");
    const buffer = Buffer.alloc(maximumBytes + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length > maximumBytes) throw new UsageError(`${path} is longer than ${maximumBytes} bytes`);
    return textOf(buffer.subarray(0, length), path);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new UsageError(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The text of a stream, in the same way; `what` names it. */
export async function readBoundedStream(stream: Readable, what: string, maximumBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk as Uint8Array | string);
    size += bytes.length;
    if (size > maximumBytes) throw new UsageError(`${what} is longer than ${maximumBytes} bytes`);
    chunks.push(bytes);
  }
  return textOf(Buffer.concat(chunks), what);
}

/** Other bytes would be replaced without a word, and something else be sent than what was given. */
function textOf(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UsageError(`${what} is not text in UTF-8`);
  }
}
