import { expect, test } from "vitest";
import { liveThrough } from "./history.ts";
import { seeds } from "./seeds.ts";

/*
 * Whole histories of runs: people start, cancel, re-run, move and hold, while replicas and runners fail. AGYN_SIMULATION_SEED replays one, but
 * for the order of what the store lists by random ids; AGYN_SIMULATION_RUNS lives through so many that nobody has seen.
 */

test.each(seeds([1, 13]))("whatever fails while pipelines run, the invariants hold (seed %i)", async (seed) => {
  const { faults, notes } = await liveThrough(seed, true);
  expect(faults, `AGYN_SIMULATION_SEED=${seed}\n${notes.slice(-60).join("\n")}`).toEqual([]);
});
