import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { createServiceToken } from "../../wire/service-token.ts";
import { encodeChunk, type LogRecord } from "../../wire/log-records.ts";

const page = await readFile(join(import.meta.dirname, "../../docs/internals/runner-protocol.md"), "utf8");

test("the chunk in the published protocol is what the codec makes of those lines", () => {
  const line = { kind: "line", continued: false } as const;
  const records: LogRecord[] = [
    { ...line, stream: "stdout", time: 1000, bytes: Buffer.from("hi") },
    { ...line, stream: "stderr", time: 1005, bytes: Buffer.from("no") },
  ];

  const payload = zstdDecompressSync(encodeChunk(0, records).data).toString("hex");

  const shown = /^01 e8 07[0-9a-f ]*$/m.exec(page)?.[0].replaceAll(/\s/g, "");
  expect(shown).toBe(payload);
});

test("the length of a service token is the published one", () => {
  const { text } = createServiceToken({ runnerId: "rnr_aaaaaaaaaaaaaaaa", rootPin: new Uint8Array(32) });

  expect(page).toContain(`The text has ${text.length} characters`);
});
