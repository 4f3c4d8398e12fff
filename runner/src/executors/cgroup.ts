import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** Where the cgroup v2 tree is mounted, from the text of `/proc/self/mounts`. */
function parseCgroupMount(mounts: string): string | undefined {
  const fields = mounts.split("\n").map((line) => line.split(" "));
  return fields.find(([, , type]) => type === "cgroup2")?.[1];
}

/**
 * Makes a cgroup for one execution below a common `agyn` one, or answers `undefined` where this process may not. With the
 * memory controller on it knows the exact peak; without, it still knows every process of the job, wherever it forked to.
 */
export function createCgroup(name: string): string | undefined {
  try {
    const mount = parseCgroupMount(readFileSync("/proc/self/mounts", "utf8"));
    if (mount === undefined) return undefined;
    const parent = join(mount, "agyn");
    mkdirSync(parent, { recursive: true });
    enableMemory(mount, parent);
    const path = join(parent, name);
    mkdirSync(path);
    return path;
  } catch {
    return undefined;
  }
}

/** Lets the controller through to the children; where that is not to be had the cgroup only counts CPU and knows its processes. */
function enableMemory(...parents: string[]): void {
  try {
    for (const parent of parents) {
      const file = join(parent, "cgroup.subtree_control");
      if (!readFileSync(file, "latin1").split(/\s/).includes("memory")) writeFileSync(file, "+memory");
    }
  } catch {
    // Not offered (ENOENT), or the root of a container with processes of its own in it (EBUSY): memory is sampled then.
  }
}

/** The exact peak in bytes, or `undefined` where the memory controller is not there. */
export function readMemoryPeak(cgroup: string): number | undefined {
  try {
    return Number(readFileSync(join(cgroup, "memory.peak"), "latin1"));
  } catch {
    return undefined;
  }
}

/** CPU time of all that ever ran in the cgroup, in milliseconds. */
export function readCpuMs(cgroup: string): number | undefined {
  try {
    const [, usec] = /^usage_usec ([0-9]+)$/m.exec(readFileSync(join(cgroup, "cpu.stat"), "latin1")) ?? [];
    return usec === undefined ? undefined : Math.round(Number(usec) / 1000);
  } catch {
    return undefined;
  }
}

/** Kills everything in the cgroup, in one stroke where the kernel can (5.14). */
export function killCgroup(cgroup: string): void {
  try {
    writeFileSync(join(cgroup, "cgroup.kill"), "1");
  } catch {
    // Older kernels, or a cgroup that is gone: the search through /proc finds the same processes.
  }
}

/** Removes the cgroup; a killed process may keep it busy for a moment, so tried for up to a second. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (let round = 0; round < 50; round++) {
    try {
      rmdirSync(cgroup);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EBUSY") return;
      await delay(20);
    }
  }
}
