import { rm } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSpool, type Spool } from "../../runner/src/spool.ts";
import type { LogStore } from "../../server/src/logs/log-store.ts";
import { createId } from "../../wire/ids.ts";
import { decodeChunk } from "../../wire/log-records.ts";
import { makeDirectory, openLogWorld, startPostgres, type LogWorld, type TestPostgres } from "./support.ts";

let database: TestPostgres;
let world: LogWorld;

beforeAll(async () => {
  database = await startPostgres();
  world = await openLogWorld(database.sql);
}, 60_000);
afterAll(async () => {
  await world.close();
  await database.stop();
});

/** Sends what the spool has, acknowledges it, and forgets every third answer as a cut link does. */
async function push(spool: Spool, store: LogStore, log: { workloadId: string; fence: bigint }): Promise<void> {
  for (let sent = 1; !spool.isDrained; sent++) {
    const chunk = spool.nextChunk(256 * 1024);
    const { nextLine } =
      chunk === undefined ? { nextLine: await store.nextLine(log) } : await store.append({ ...log, ...chunk });
    if (sent % 3 === 0) spool.rewindTo(spool.acknowledgedLine);
    else spool.acknowledge(nextLine);
  }
}

/** The output of a log, its lines joined again; a last line without a newline gets one. */
async function readBack(store: LogStore, log: { workloadId: string; fence: bigint }): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const batch of store.follow({ ...log, fromLine: 0 })) {
    for (const record of batch.chunks.flatMap(decodeChunk)) {
      if (record.kind === "line") parts.push(record.bytes, Buffer.from(record.continued ? "" : "\n"));
    }
  }
  return Buffer.concat(parts);
}

const burst = Array.from({ length: 100_000 }, (_, line) => `${line} ${"z".repeat(98)}\n`).join("");

test.each([
  ["a burst of 10 MB", Buffer.from(burst)],
  ["bad-39: a line of 8 MB", Buffer.from(`${"x".repeat(8_000_000)}\n`)],
  ["bad-39: 200,000 empty lines", Buffer.alloc(200_000, "\n")],
  ["bad-39: CRLF, a byte order mark and bytes that are not UTF-8", Buffer.from("\ufeffa\r\nb\r\n\xff\xfe\n", "latin1")],
  [
    "bad-36, bad-37: markup and forged markers",
    Buffer.from("<script>alert(1)</script>\n::set-env name=x::y\n##[group]\n"),
  ],
])(
  "%s arrives byte for byte over a link that loses answers",
  async (_, output) => {
    const directory = await makeDirectory("spool");
    const spool = openSpool({ directory });
    const log = { workloadId: createId("workload"), fence: 1n };
    for (let start = 0; start < output.length; start += 65_521) {
      spool.append("stdout", output.subarray(start, start + 65_521), 1_000);
    }
    spool.end(2_000);

    await push(spool, world.store, log);
    await world.store.end(log);

    expect((await readBack(world.store, log)).equals(output)).toBe(true);
    spool.remove();
    await rm(directory, { recursive: true, force: true });
  },
  30_000,
);
