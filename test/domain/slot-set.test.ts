import fc from "fast-check";
import { expect, test } from "vitest";
import { createCountedBits, hasBit, memberAt, setBit } from "../../server/src/domain/bits.ts";
import {
  addSlot,
  createSlotSet,
  hasSlot,
  orInto,
  removeSlot,
  slotsOf,
  wordsFor,
} from "../../server/src/domain/slot-set.ts";

const slots = 6_000;

const runs = fc.array(
  fc.record({ add: fc.boolean(), from: fc.nat(slots - 1), length: fc.integer({ min: 1, max: 400 }) }),
  { maxLength: 30 },
);

test("a slot set holds what was added and not removed, in either of its forms", () => {
  fc.assert(
    fc.property(runs, (history) => {
      const set = createSlotSet();
      const plain = new Set<number>();
      for (const { add, from, length } of history) {
        for (let slot = from; slot < Math.min(slots, from + length); slot++) {
          if (add) addSlot(set, slot, slots);
          else removeSlot(set, slot, slots);
          if (add) plain.add(slot);
          else plain.delete(slot);
        }
      }

      const words = new Uint32Array(wordsFor(slots));
      orInto(words, set);
      expect(set.count).toBe(plain.size);
      expect([...slotsOf(set)].sort((a, b) => a - b)).toEqual([...plain].sort((a, b) => a - b));
      expect(createCountedBits(words).count).toBe(plain.size);
      expect(hasSlot(set, slots - 1)).toBe(plain.has(slots - 1));
    }),
    { numRuns: 60 },
  );
});

test("counted bits find each member by its rank, through changes", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(slots - 1), { maxLength: 300 }), (changed) => {
      const bits = createCountedBits(new Uint32Array(wordsFor(slots)).fill(0x80000001));
      for (const slot of changed) setBit(bits, slot, !hasBit(bits, slot));

      const expected = Array.from({ length: wordsFor(slots) * 32 }, (_, slot) => slot).filter((slot) =>
        hasBit(bits, slot),
      );
      expect(Array.from({ length: bits.count }, (_, rank) => memberAt(bits, rank))).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});
