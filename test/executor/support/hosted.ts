import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { World } from "./world.ts";

/** Starts a runner reduced to its executor in a process of its own, on the world's directory. */
export function host(world: World, dieAfterBytes: number, command: string[], more = {}): ChildProcess {
  const usual = { timeoutMs: 60_000, graceMs: 5000, lostAfterMs: "", gitUrl: "" };
  const { timeoutMs, graceMs, lostAfterMs, gitUrl } = { ...usual, ...more };
  const file = join(import.meta.dirname, "host.ts");
  const args = [
    file,
    world.directory,
    world.options.isolation,
    String(dieAfterBytes),
    String(timeoutMs),
    String(graceMs),
    String(lostAfterMs),
    gitUrl,
    ...command,
  ];
  return spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
}

/** Kills it, and waits until it is gone. */
export async function killed(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.signalCode === null && child.exitCode === null) await once(child, "exit");
}

/** What a hosted executor's job wrote, as far as it was taken. */
export function spooled(world: World): string {
  const path = join(world.directory, "spool");
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
