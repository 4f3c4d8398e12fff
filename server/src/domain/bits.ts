/** How many of a word's 32 bits are set. */
export function popcount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Calls `visit` with each set bit's index below `words.length * 32`, ascending. */
export function forEachBit(words: Uint32Array, visit: (slot: number) => void): void {
  for (let index = 0; index < words.length; index++) {
    let word = words[index] as number;
    while (word !== 0) {
      visit(index * 32 + 31 - Math.clz32(word & -word));
      word &= word - 1;
    }
  }
}

/** Words whose bits one entry of `blockCounts` counts. */
const wordsPerBlock = 32;

/** A set of slots that knows its size, and finds its k-th member by looking at block counts first. */
export type CountedBits = { readonly words: Uint32Array; readonly blockCounts: Uint32Array; count: number };

/** Counted bits over `words`, which they own from now on. */
export function createCountedBits(words: Uint32Array): CountedBits {
  const blockCounts = new Uint32Array(Math.ceil(words.length / wordsPerBlock));
  let count = 0;
  for (let block = 0; block < blockCounts.length; block++) {
    const end = Math.min(words.length, (block + 1) * wordsPerBlock);
    let inBlock = 0;
    for (let index = block * wordsPerBlock; index < end; index++) {
      const word = words[index] as number;
      if (word !== 0) inBlock += popcount(word);
    }
    blockCounts[block] = inBlock;
    count += inBlock;
  }
  return { words, blockCounts, count };
}

/** Whether the slot is a member. */
export function hasBit(bits: CountedBits, slot: number): boolean {
  return (((bits.words[slot >>> 5] as number) >>> (slot & 31)) & 1) === 1;
}

/** Makes the slot a member or not; says whether that changed anything. */
export function setBit(bits: CountedBits, slot: number, member: boolean): boolean {
  if (hasBit(bits, slot) === member) return false;
  const index = slot >>> 5;
  const change = member ? 1 : -1;
  bits.words[index] = (bits.words[index] as number) ^ (1 << (slot & 31));
  const block = Math.floor(index / wordsPerBlock);
  bits.blockCounts[block] = (bits.blockCounts[block] as number) + change;
  bits.count += change;
  return true;
}

/** The member with exactly `rank` members below it; `rank` is below `bits.count`. */
export function memberAt(bits: CountedBits, rank: number): number {
  let block = 0;
  let left = rank;
  while (left >= (bits.blockCounts[block] as number)) left -= bits.blockCounts[block++] as number;

  let index = block * wordsPerBlock;
  let word = bits.words[index] as number;
  for (let inWord = popcount(word); left >= inWord; inWord = popcount(word)) {
    left -= inWord;
    word = bits.words[++index] as number;
  }
  for (; left > 0; left--) word &= word - 1;
  return index * 32 + 31 - Math.clz32(word & -word);
}
