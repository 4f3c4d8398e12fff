import { open } from "node:fs/promises";
import { Failure, UsageError } from "./failures.ts";

/** The text of a file; a UsageError where it cannot be read, or is longer than `maximumBytes`, of which no more is read. */
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
    return buffer.toString("utf8", 0, length);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new UsageError(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
