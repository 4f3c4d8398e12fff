import { existsSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { standInFor } from "../../runner/src/executors/job-directory.ts";

type Found = { pid: number; parent: number; command: string };

/** Ends what is left of the jobs of all runners whose directories lie directly below `directory`, and removes where they lay. */
export async function endJobsLeft(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  await endJobsOf(entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name)));
}

/** The same of runners with these data directories. */
export async function endJobsOf(dataDirectories: readonly string[]): Promise<void> {
  const used = dataDirectories.filter((data) => existsSync(join(data, "executions")));
  const roots = used.map((data) => join(data, "jobs")).flatMap((wanted) => [wanted, standInFor(wanted)]);
  if (roots.length === 0) return;
  const all = await listProcesses();
  const ended = new Set(
    all.filter(({ command }) => roots.some((root) => command.includes(`${root}/`))).map(({ pid }) => pid),
  );
  const records = used.map((data) => join(data, "executions"));
  for (const { pid, command } of all) if (records.some((record) => command.includes(`${record}/`))) ended.add(pid);
  for (let before = -1; before !== ended.size;) {
    before = ended.size;
    for (const { pid, parent } of all) if (ended.has(parent)) ended.add(pid);
  }
  for (const pid of ended) if (pid !== process.pid) endProcess(pid);
  for (const root of roots) await rm(root, { recursive: true, force: true, maxRetries: 5 });
}

async function listProcesses(): Promise<Found[]> {
  const pids = (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      const parent = Number(/^PPid:\t([0-9]+)$/m.exec(status)?.[1] ?? 0);
      return { pid: Number(pid), parent, command };
    }),
  );
  return found.filter(({ command }) => command !== "");
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
