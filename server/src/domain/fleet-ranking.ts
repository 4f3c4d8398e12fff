/**
 * The free slots of a shape by preference score. Only the best few scores are kept apart, however many there are; when
 * those run empty, the next few are found by scoring what is free.
 */
import { type CountedBits, createCountedBits, forEachBit, hasBit, setBit } from "./bits.ts";
import { type Preference, preferenceScore } from "./demand.ts";
import type { FleetMember } from "./selection.ts";

type Tier = Readonly<{ score: number; bits: CountedBits }>;

/**
 * Every free slot that scores `floor` or more is in a tier; tiers go from the best score down. Without a floor nothing
 * has been scored yet.
 */
export type Ranking = { tiers: Tier[]; floor: number | undefined };

/** Scores kept apart. */
const tierLimit = 8;

/** A ranking that knows nothing yet: the first look at it scores what is free. */
export function createRanking(): Ranking {
  return { tiers: [], floor: undefined };
}

/** Enters a slot that has become free. `words` is the length of the shape's bits. */
export function enterRanking(
  ranking: Ranking,
  slot: { index: number; labels: ReadonlyMap<string, string> },
  preferences: readonly Preference[],
  words: number,
): void {
  enterScore(ranking, slot.index, preferenceScore(slot.labels, preferences), words);
}

/** Takes out a slot that is free no more. */
export function leaveRanking(ranking: Ranking, slot: number): void {
  for (const { bits } of ranking.tiers) if (setBit(bits, slot, false)) return;
}

/** The free slots with the best score; `free` has at least one. */
export function bestOf(
  ranking: Ranking,
  free: CountedBits,
  members: readonly (FleetMember | undefined)[],
  preferences: readonly Preference[],
): CountedBits {
  ranking.tiers = ranking.tiers.filter(({ bits }) => bits.count > 0);
  if (ranking.tiers.length === 0) rank(ranking, free, members, preferences);
  return (ranking.tiers[0] as Tier).bits;
}

function rank(
  ranking: Ranking,
  free: CountedBits,
  members: readonly (FleetMember | undefined)[],
  preferences: readonly Preference[],
): void {
  ranking.floor = -Infinity;
  forEachBit(free.words, (slot) => {
    const labels = (members[slot] as FleetMember).runner.labels;
    enterScore(ranking, slot, preferenceScore(labels, preferences), free.words.length);
  });
}

function enterScore(ranking: Ranking, slot: number, score: number, words: number): void {
  if (ranking.floor === undefined || score < ranking.floor) return;
  const { tiers } = ranking;
  const index = tiers.findIndex((tier) => tier.score <= score);
  const tier = tiers[index];
  if (tier?.score === score) {
    if (!hasBit(tier.bits, slot)) setBit(tier.bits, slot, true);
    return;
  }

  const bits = createCountedBits(new Uint32Array(words));
  setBit(bits, slot, true);
  tiers.splice(index < 0 ? tiers.length : index, 0, { score, bits });
  if (tiers.length > tierLimit) {
    tiers.pop();
    ranking.floor = (tiers[tierLimit - 1] as Tier).score;
  }
}
