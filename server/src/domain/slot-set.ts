/**
 * A set of slots (small integers, one a runner) that holds few members as a hash set and many as bits, so that neither
 * a label that each runner has alone nor one that all share costs more than its members.
 */
export type SlotSet = { members: Set<number> | Uint32Array; count: number };

/** An empty set, in the sparse form. */
export function createSlotSet(): SlotSet {
  return { members: new Set(), count: 0 };
}

/** Slots for each member that a set may hold before bits are the smaller form. */
const slotsPerSparseMember = 64;

/** What bits grow by beyond what is needed, so that a growing fleet does not copy them for each runner. */
const growth = 1.5;

/** Members below which a set never turns to bits. */
const smallestDense = 16;

/** Adds a slot; `slots` is how many slots there are, which decides the form. */
export function addSlot(set: SlotSet, slot: number, slots: number): void {
  if (hasSlot(set, slot)) return;
  set.count++;
  if (set.members instanceof Set) {
    set.members.add(slot);
    if (set.count >= smallestDense && set.count * slotsPerSparseMember > slots)
      set.members = toBits(set.members, slots);
    return;
  }
  if (slot >>> 5 >= set.members.length) {
    const grown = new Uint32Array(Math.ceil(Math.max(wordsFor(slots), (slot >>> 5) + 1) * growth));
    grown.set(set.members);
    set.members = grown;
  }
  set.members[slot >>> 5] = (set.members[slot >>> 5] as number) | (1 << (slot & 31));
}

/** Removes a slot; a set of bits that has become a quarter of what made it so turns back. */
export function removeSlot(set: SlotSet, slot: number, slots: number): void {
  if (!hasSlot(set, slot)) return;
  set.count--;
  if (set.members instanceof Set) {
    set.members.delete(slot);
    return;
  }
  set.members[slot >>> 5] = (set.members[slot >>> 5] as number) & ~(1 << (slot & 31));
  if (set.count * slotsPerSparseMember * 4 < slots) set.members = toSparse(set.members);
}

/** Whether the slot is a member, in either form. */
export function hasSlot({ members }: SlotSet, slot: number): boolean {
  if (members instanceof Set) return members.has(slot);
  const word = members[slot >>> 5];
  return word !== undefined && ((word >>> (slot & 31)) & 1) === 1;
}

/** The set's members. */
export function slotsOf({ members }: SlotSet): Iterable<number> {
  return members instanceof Set ? members : toSparse(members);
}

/** Words that hold one bit for each of `slots`. */
export function wordsFor(slots: number): number {
  return (slots + 31) >>> 5;
}

/** Sets in `words` the bits of the set's members. */
export function orInto(words: Uint32Array, { members }: SlotSet): void {
  if (members instanceof Set) {
    for (const slot of members) words[slot >>> 5] = (words[slot >>> 5] as number) | (1 << (slot & 31));
    return;
  }
  const length = Math.min(words.length, members.length);
  for (let index = 0; index < length; index++) words[index] = (words[index] as number) | (members[index] as number);
}

/** Keeps in `words` only the set's members; they are bits. */
export function andInto(words: Uint32Array, bits: Uint32Array): void {
  const length = Math.min(words.length, bits.length);
  for (let index = 0; index < length; index++) words[index] = (words[index] as number) & (bits[index] as number);
  words.fill(0, length);
}

/** Takes the set's members, given as bits, out of `words`. */
export function andNotInto(words: Uint32Array, bits: Uint32Array): void {
  const length = Math.min(words.length, bits.length);
  for (let index = 0; index < length; index++) words[index] = (words[index] as number) & ~(bits[index] as number);
}

function toBits(members: Set<number>, slots: number): Uint32Array {
  let words = wordsFor(slots);
  for (const slot of members) words = Math.max(words, (slot >>> 5) + 1);
  const bits = new Uint32Array(words);
  for (const slot of members) bits[slot >>> 5] = (bits[slot >>> 5] as number) | (1 << (slot & 31));
  return bits;
}

function toSparse(bits: Uint32Array): Set<number> {
  const members = new Set<number>();
  for (let index = 0; index < bits.length; index++) {
    for (let word = bits[index] as number; word !== 0; word &= word - 1) {
      members.add(index * 32 + 31 - Math.clz32(word & -word));
    }
  }
  return members;
}
