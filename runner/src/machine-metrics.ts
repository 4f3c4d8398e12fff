import { readFileSync, readdirSync } from "node:fs";

/** CPU time since boot, in ticks: what was worked, and all. */
export type CpuTicks = { busy: number; total: number };

/** What `/proc` says at one moment. Counters only grow (until a boot). */
export type MachineReading = {
  cpu: CpuTicks;
  cores: CpuTicks[];
  memory: { totalBytes: number; availableBytes: number };
  network: { receivedBytes: number; sentBytes: number };
  disk: { readBytes: number; writtenBytes: number };
  load: [oneMinute: number, fiveMinutes: number, fifteenMinutes: number];
};

/** What happened between two readings. Shares of CPU are 0 to 1; network and disk are the counters as they stand. */
export type MachineMetrics = {
  cpu: number;
  cores: number[];
  memoryUsedBytes: number;
  memoryAvailableBytes: number;
  memoryTotalBytes: number;
  networkReceivedBytes: number;
  networkSentBytes: number;
  diskReadBytes: number;
  diskWrittenBytes: number;
  load: MachineReading["load"];
};

const sectorBytes = 512;

/** `/proc/stat`: first all processors together, then each. Waiting for disks counts as idle; guests are in `user` already. */
export function parseCpuTicks(text: string): { cpu: CpuTicks; cores: CpuTicks[] } {
  const lines = text.split("\n").filter((line) => line.startsWith("cpu"));
  const [cpu = { busy: 0, total: 0 }, ...cores] = lines.map((line) => {
    const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
    const total = ticks.reduce((sum, value) => sum + value, 0);
    return { busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0), total };
  });
  return { cpu, cores };
}

/** `/proc/meminfo`. */
export function parseMemory(text: string): MachineReading["memory"] {
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  return { totalBytes: bytes("MemTotal"), availableBytes: bytes("MemAvailable") };
}

/** `/proc/net/dev`: the sum of all interfaces but the loopback. */
export function parseNetwork(text: string): MachineReading["network"] {
  let receivedBytes = 0;
  let sentBytes = 0;
  for (const line of text.split("\n").slice(2)) {
    const [name, counters] = line.split(":");
    if (counters === undefined || name?.trim() === "lo") continue;
    const fields = counters.trim().split(/\s+/).map(Number);
    receivedBytes += fields[0] ?? 0;
    sentBytes += fields[8] ?? 0;
  }
  return { receivedBytes, sentBytes };
}

/** `/proc/diskstats`: the sum over `disks`, which are whole ones, since partitions and mapped devices repeat what lies below them. */
export function parseDisk(text: string, disks: ReadonlySet<string>): MachineReading["disk"] {
  let readBytes = 0;
  let writtenBytes = 0;
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/\s+/);
    if (!disks.has(fields[2] ?? "")) continue;
    readBytes += Number(fields[5]) * sectorBytes;
    writtenBytes += Number(fields[9]) * sectorBytes;
  }
  return { readBytes, writtenBytes };
}

/** `/proc/loadavg`. */
export function parseLoad(text: string): MachineReading["load"] {
  const [one = 0, five = 0, fifteen = 0] = text.split(" ").slice(0, 3).map(Number);
  return [one, five, fifteen];
}

/** Reads the machine's counters (Linux). What cannot be read, as in some containers, is zero. */
export function readMachineCounters(): MachineReading {
  return {
    ...parseCpuTicks(read("/proc/stat")),
    memory: parseMemory(read("/proc/meminfo")),
    network: parseNetwork(read("/proc/net/dev")),
    disk: parseDisk(read("/proc/diskstats"), wholeDisks()),
    load: parseLoad(read("/proc/loadavg")),
  };
}

/** What happened from `before` to `after`; the CPU shares are zero where no time passed. */
export function metricsBetween(before: MachineReading, after: MachineReading): MachineMetrics {
  return {
    cpu: share(before.cpu, after.cpu),
    cores: after.cores.map((core, index) => share(before.cores[index] ?? core, core)),
    memoryUsedBytes: after.memory.totalBytes - after.memory.availableBytes,
    memoryAvailableBytes: after.memory.availableBytes,
    memoryTotalBytes: after.memory.totalBytes,
    networkReceivedBytes: after.network.receivedBytes,
    networkSentBytes: after.network.sentBytes,
    diskReadBytes: after.disk.readBytes,
    diskWrittenBytes: after.disk.writtenBytes,
    load: after.load,
  };
}

function share(before: CpuTicks, after: CpuTicks): number {
  const total = after.total - before.total;
  return total <= 0 ? 0 : Math.min(1, Math.max(0, (after.busy - before.busy) / total));
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Block devices with hardware of their own; loop, ram and mapped ones have none. */
function wholeDisks(): Set<string> {
  try {
    return new Set(readdirSync("/sys/block").filter((name) => !/^(loop|ram|zram|dm-|md|sr|fd)/.test(name)));
  } catch {
    return new Set();
  }
}
