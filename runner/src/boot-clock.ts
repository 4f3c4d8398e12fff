import { readFileSync } from "node:fs";
import { uptime } from "node:os";

/** `setTimeout` does not count suspension, so a timer looks at the clock at least this often. */
const longestNapMs = 10_000;

/** The text of `/proc/uptime` in milliseconds. Linux fills it from CLOCK_BOOTTIME, which goes on while the machine sleeps. */
export function parseUptimeMs(text: string): number {
  const seconds = Number.parseFloat(text);
  if (!Number.isFinite(seconds)) throw new Error(`uptime is not a number: ${JSON.stringify(text.slice(0, 40))}`);
  return Math.round(seconds * 1000);
}

/** Milliseconds since the machine booted, counting the time it was suspended; steps of 10 ms. Never set back, unlike the date. */
export function bootTimeMs(): number {
  try {
    return parseUptimeMs(readFileSync("/proc/uptime", "latin1"));
  } catch {
    return Math.round(uptime() * 1000);
  }
}

/** Changes at every boot; `""` where the system has none. */
export function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return "";
  }
}

/** Calls `due` once `bootTimeMs()` has reached `atMs`; at most 10 s late after a suspension. The answer cancels it. */
export function atBootTime(atMs: number, due: () => void): () => void {
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const leftMs = atMs - bootTimeMs();
    if (leftMs <= 0) due();
    else timer = setTimeout(look, Math.min(leftMs, longestNapMs));
  };
  timer = setTimeout(look, Math.min(Math.max(0, atMs - bootTimeMs()), longestNapMs));
  return () => clearTimeout(timer);
}
