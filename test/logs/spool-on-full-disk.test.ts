import { execFile, spawnSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { makeDirectory } from "./support.ts";

const namespace = ["--user", "--map-root-user", "--mount"];
const canMount = spawnSync("unshare", [...namespace, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]).status === 0;

type Outcome = {
  nextLine: number;
  isEnded: boolean;
  summary: { line: number; text?: string; droppedLines?: number }[];
};

test.skipIf(!canMount)("bad-22: on a full disk output becomes one gap, and what comes after it is kept", async () => {
  const disk = await makeDirectory("disk");
  const script = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" "$3" "$1"';
  const writer = join(import.meta.dirname, "spool-on-full-disk.ts");
  const args = [...namespace, "sh", "-c", script, "sh", disk, process.execPath, writer];

  const { stdout } = await promisify(execFile)("unshare", args, { maxBuffer: 16 * 1024 * 1024, timeout: 20_000 });
  await rm(disk, { recursive: true });

  const { nextLine, isEnded, summary } = JSON.parse(stdout) as Outcome;
  const [gap, ...others] = summary.filter(({ droppedLines }) => droppedLines !== undefined);
  const after = summary.slice(summary.indexOf(gap!) + 1);
  expect({ nextLine, isEnded, others }).toEqual({ nextLine: 10_101, isEnded: true, others: [] });
  expect(gap!.line + gap!.droppedLines!).toBe(10_000);
  expect(after[0]).toEqual({ line: 10_000, text: "open line" });
  expect(after.at(-1)).toEqual({ line: 10_100, text: "line 10100" });
});
