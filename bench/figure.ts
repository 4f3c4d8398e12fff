/** One measured figure beside a baseline of the same run, so that it means something on another machine. */
export type Figure = Readonly<{
  name: string;
  value: number;
  unit: string;
  baseline: Readonly<{ name: string; value: number }>;
  /** How many times better than the baseline: `baseline.value / value` where less is better, else `value / baseline.value`. */
  ratio: number;
  target?: string;
}>;

/** What one benchmark found, and what limits it. */
export type Report = Readonly<{ figures: readonly Figure[]; limit: string }>;

/** The median; `NaN` of none. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value below which `share` of the values lie; `NaN` of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
