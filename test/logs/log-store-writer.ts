/** A server's log store that takes in lines of three logs and says what it acknowledged, until it is killed. */
import { writeSync } from "node:fs";
import postgres from "postgres";
import { chunkOf, openLogWorld } from "./support.ts";

const [directory, host, ...workloadIds] = process.argv.slice(2);
const sql = postgres({ host: host!, user: "agyn", database: "postgres", max: 2 });
const { store } = await openLogWorld(sql, { journalFileBytes: 8 * 1024 }, directory);

async function push(workloadId: string): Promise<never> {
  const log = { workloadId, fence: 1n };
  for (let nextLine = await store.nextLine(log); ;) {
    ({ nextLine } = await store.append({ ...log, ...chunkOf(nextLine, 5) }));
    writeSync(1, `${workloadId} ${nextLine}\n`);
  }
}

await Promise.all(workloadIds.map(push));
