import { expect, test } from "vitest";
import { liveThrough } from "./history.ts";
import { seeds } from "./seeds.ts";

/*
 * Whole histories of a control plane of three replicas and of three runners, on virtual time over a real database. AGYN_SIMULATION_SEED
 * replays one, AGYN_SIMULATION_RUNS lives through so many that nobody has seen.
 */

test.each(seeds([1, 2, 3]))("whatever crashes, stalls or is cut off, the invariants hold (seed %i)", async (seed) => {
  const { faults, notes } = await liveThrough(seed);
  expect(faults, `AGYN_SIMULATION_SEED=${seed}\n${notes.slice(-60).join("\n")}`).toEqual([]);
});
