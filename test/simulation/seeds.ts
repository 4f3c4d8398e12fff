import { randomInt } from "node:crypto";

/** The seeds to run: one that is asked for, so many new ones that are asked for, or the usual ones. */
export function seeds(usual: readonly number[]): number[] {
  const { AGYN_SIMULATION_SEED: one, AGYN_SIMULATION_RUNS: runs } = process.env;
  if (one !== undefined) return [Number(one)];
  return runs === undefined ? [...usual] : Array.from({ length: Number(runs) }, () => randomInt(2 ** 31));
}
