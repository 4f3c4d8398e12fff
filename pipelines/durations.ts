const units_ms: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** How a duration is written, as a pattern for editors. */
export const durationPattern = "^(?=.)(\\d{1,9}d)?(\\d{1,9}h)?(\\d{1,9}m)?(\\d{1,9}s)?(\\d{1,9}ms)?$";

const duration = new RegExp(durationPattern);

/** The milliseconds of a text such as `90s`, `10m` or `1h30m`; `undefined` where it is none. */
export function parseDuration(text: string): number | undefined {
  if (!duration.test(text)) return undefined;
  let total_ms = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([a-z]+)/g)) total_ms += Number(count) * units_ms.get(unit!)!;
  return total_ms;
}

/** A bound as the text that would be written for it: `30d`, `1s`. */
export function durationText(duration_ms: number): string {
  const [unit, size_ms] = [...units_ms].findLast(([, size]) => duration_ms % size === 0) ?? ["ms", 1];
  return `${duration_ms / size_ms}${unit}`;
}
