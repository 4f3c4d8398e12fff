/*
 * How long a job will probably wait. Jobs of one project and definition are of one kind; of each kind the times that its last
 * jobs ran are remembered. A job waits for those before it, that compete for its runners, and for the rest of those that run
 * now; as many of them go at a time as run now:
 *
 *   wait(q) = (sum over those before of time(kind, q) + half the sum over those running of time(kind, q)) / number running
 *
 * for the quantiles 10 %, 50 % and 90 %. It is an estimate of what usually happens, not a promise; where there are not enough
 * data, or too many jobs before it, there is none.
 */

/** Milliseconds: one in ten takes less than the low, one in ten more than the high. `samples`: how many ended jobs it rests on. */
export type Estimate = Readonly<{ low_ms: number; middle_ms: number; high_ms: number; samples: number }>;

export type Kind = Readonly<{ projectId: string; definition: string; organizationId: string }>;

/** Of fewer ended jobs nothing is said. */
export const leastSamples = 5;
/** Times that are remembered of one kind, and kinds that are. */
const rememberedTimes = 50;
const rememberedKinds = 10_000;
/** Behind more jobs than these no estimate holds. */
export const furthestPlace = 1000;

export interface RunTimes {
  /** A job of the kind ran for so long. */
  note(kind: Kind, time_ms: number): void;
  /** `undefined` where there are too few. */
  quantilesOf(kind: Kind): Estimate | undefined;
}

/** Remembers the last times of each kind; the kind that nobody noted for longest goes first. */
export function createRunTimes(): RunTimes {
  const rings = new Map<string, number[]>();
  return {
    note(kind, time_ms) {
      const key = keyOf(kind);
      const times = rings.get(key) ?? [];
      times.push(time_ms);
      if (times.length > rememberedTimes) times.shift();
      rings.delete(key);
      rings.set(key, times);
      if (rings.size > rememberedKinds) rings.delete(rings.keys().next().value!);
    },
    quantilesOf(kind) {
      const times = rings.get(keyOf(kind));
      if (!times || times.length < leastSamples) return undefined;
      const sorted = times.toSorted((a, b) => a - b);
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
      return { low_ms: at(0.1), middle_ms: at(0.5), high_ms: at(0.9), samples: times.length };
    },
  };
}

/** Of a job of `kind`, with these before it and these running on its runners. */
export function estimateWait(
  times: RunTimes,
  kind: Kind,
  { before, running }: { before: readonly Kind[]; running: readonly Kind[] },
): Estimate | undefined {
  if (running.length === 0 || before.length > furthestPlace) return undefined;
  const known = new Map<string, Estimate | undefined>();
  const quantilesOf = (one: Kind) => {
    const key = keyOf(one);
    if (!known.has(key)) known.set(key, times.quantilesOf(one));
    return known.get(key);
  };
  const ahead = before.map(quantilesOf);
  const going = running.map(quantilesOf);
  if ([quantilesOf(kind), ...ahead, ...going].includes(undefined)) return undefined;
  const wait_ms = (quantile: "low_ms" | "middle_ms" | "high_ms") => {
    const sum = (of: readonly (Estimate | undefined)[]) => of.reduce((total, one) => total + one![quantile], 0);
    return (sum(ahead) + sum(going) / 2) / running.length;
  };
  const samples = [...known.values()].reduce((total, one) => total + one!.samples, 0);
  return { low_ms: wait_ms("low_ms"), middle_ms: wait_ms("middle_ms"), high_ms: wait_ms("high_ms"), samples };
}

function keyOf({ organizationId, projectId, definition }: Kind): string {
  return `${organizationId} ${projectId} ${definition}`;
}
