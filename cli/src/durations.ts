import { create } from "@bufbuild/protobuf";
import { DurationSchema, type Duration } from "@bufbuild/protobuf/wkt";
import { UsageError } from "./failures.ts";

const unitMilliseconds: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** The milliseconds of text such as `90s`, `10m`, `1h30m`, `1.5h` or `2d`; a UsageError where it is none. */
export function parseDuration(text: string): number {
  const part = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/y;
  let total = 0;
  let last = Number.POSITIVE_INFINITY;
  while (part.lastIndex < text.length) {
    const position = part.lastIndex;
    const match = part.exec(text);
    if (match === null) throw durationError(text, position);
    const unit = unitMilliseconds[match[2]!]!;
    if (unit >= last) throw new UsageError(`duration "${text}": units go from the largest to the smallest, each once`);
    last = unit;
    total += Number(match[1]) * unit;
  }
  if (text === "") throw new UsageError('a duration is empty: write it like "90s", "10m", "1h30m" or "2d"');
  return Math.round(total);
}

function durationError(text: string, position: number): UsageError {
  const rest = text.slice(position);
  if (/^\d+(\.\d+)?$/.test(rest))
    return new UsageError(`duration "${text}": "${rest}" lacks a unit, such as "${rest}s" or "${rest}m"`);
  return new UsageError(`duration "${text}": expected a number with one of ms, s, m, h, d at position ${position + 1}`);
}

/** `milliseconds` in words a person reads at once: `850ms`, `12s`, `1h30m`, `2d`; at most two units. */
export function formatDuration(milliseconds: number): string {
  const rounded = Math.max(0, Math.round(milliseconds));
  if (rounded < 1000) return `${rounded}ms`;
  if (rounded < 10_000) return `${Number((rounded / 1000).toFixed(1))}s`;
  let seconds = Math.round(rounded / 1000);
  const parts: string[] = [];
  for (const [unit, size] of [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
    ["s", 1],
  ] as const) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join("");
}

/** As protobuf says it. */
export function toProtoDuration(milliseconds: number): Duration {
  const seconds = Math.floor(milliseconds / 1000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((milliseconds - seconds * 1000) * 1e6) });
}

/** In milliseconds; an absurd value of a server is no more than a large number. */
export function fromProtoDuration(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
