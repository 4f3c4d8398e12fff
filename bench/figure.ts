/** One measured figure beside a baseline of the same run, so that it means something on another machine. */
export type Figure = Readonly<{
  name: string;
  value: number;
  unit: string;
  baseline: Readonly<{ name: string; value: number }>;
  /** `baseline.value / value`: how many times better than the baseline, where less is better. */
  ratio: number;
  target?: string;
}>;
