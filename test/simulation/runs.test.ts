import { expect, test, vi } from "vitest";
import { liveThrough } from "./history.ts";
import { seeds } from "./seeds.ts";

/*
 * Whole histories of runs: people start, cancel, re-run, move and hold, while replicas and runners fail. AGYN_SIMULATION_SEED replays one,
 * AGYN_SIMULATION_RUNS lives through so many that nobody has seen.
 */

// The order in which the store lists runs and jobs may be that of their ids: so a seed that is to replay gives these, too.
vi.mock(import("../../wire/ids.ts"), async (original) => {
  const ids = await original();
  let count = 0;
  return {
    ...ids,
    createId: (kind) => `${ids.idPrefixes[kind]}_${ids.toBase32(Buffer.from(String(++count).padStart(10, "0")))}`,
  };
});

test.each(seeds([1, 13]))("whatever fails while pipelines run, the invariants hold (seed %i)", async (seed) => {
  const { faults, notes } = await liveThrough(seed, true);
  expect(faults, `AGYN_SIMULATION_SEED=${seed}\n${notes.slice(-60).join("\n")}`).toEqual([]);
});
