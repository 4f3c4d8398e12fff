/** The runners that are passed over for a workload: id → until when, in ms since 1970. */
export type Exclusions = Readonly<Record<string, number>>;

/** One empty set for all. */
export const nobody: ReadonlySet<string> = new Set();

/** Those that are passed over at this moment. */
export function excludedAt(exclusions: Exclusions, now_ms: number): ReadonlySet<string> {
  const entries = Object.entries(exclusions);
  if (entries.length === 0) return nobody;
  return new Set(entries.filter(([, until_ms]) => until_ms > now_ms).map(([runnerId]) => runnerId));
}
