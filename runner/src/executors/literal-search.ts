/** Where any of many literals occurs in bytes, in time linear in them: the automaton of Aho and Corasick (CACM 18:6, 1975). */
/** Bytes from `start`, to before `end`. */
export type Span = { start: number; end: number };

/** What a search found: the spans that are covered by literals, joined where they touch; and how many last bytes may begin one. */
export type Found = { spans: Span[]; pendingBytes: number };

export type LiteralSearch = (bytes: Uint8Array) => Found;

/** Steps from a state by a byte, as an open hash table: literals may have some million bytes in sum. */
type Steps = { get(state: number, byte: number): number; set(state: number, byte: number, next: number): void };

/** The states: each is a beginning of a literal, 0 the empty one. */
type States = {
  steps: Steps;
  depth: Uint32Array;
  /** The state of the longest proper end of this one's bytes that begins a literal too. */
  fallback: Uint32Array;
  /** Bytes of the longest literal that ends here; 0: none. */
  matched: Uint32Array;
};

/** Prepares the search for literals, each of three bytes or more. */
export function createLiteralSearch(literals: readonly Uint8Array[]): LiteralSearch {
  const states = createStates(literals);
  const begins = new Uint8Array(beginnings);
  for (const [first, second, third] of literals) begins[beginning(first!, second!, third!)] = 1;
  return (bytes) => search(states, begins, bytes);
}

const beginnings = 2 ** 18;

/** The first three bytes of a literal as a number below `beginnings`; the same for some that differ. */
const beginning = (first: number, second: number, third: number): number => (first << 10) ^ (second << 5) ^ third;

/** `begins`: whether a literal may begin with three bytes: what most bytes are passed over by. */
function search({ steps, depth, fallback, matched }: States, begins: Uint8Array, bytes: Uint8Array): Found {
  const spans: Span[] = [];
  const last = bytes.length - 1;
  let state = 0;
  for (let index = 0; index <= last; index++) {
    const byte = bytes[index]!;
    if (state === 0 && index < last - 1 && begins[beginning(byte, bytes[index + 1]!, bytes[index + 2]!)] === 0)
      continue;
    let next = steps.get(state, byte);
    while (next === 0 && state !== 0) {
      state = fallback[state]!;
      next = steps.get(state, byte);
    }
    state = next;
    const length = matched[state]!;
    if (length > 0) cover(spans, { start: index + 1 - length, end: index + 1 });
  }
  return { spans, pendingBytes: depth[state]! };
}

/** Adds a span that ends behind all others. */
function cover(spans: Span[], { start, end }: Span): void {
  let first = start;
  for (let last = spans.at(-1); last !== undefined && last.end >= start; last = spans.at(-1)) {
    first = Math.min(first, last.start);
    spans.pop();
  }
  spans.push({ start: first, end });
}

function createStates(literals: readonly Uint8Array[]): States {
  const size = 1 + literals.reduce((sum, literal) => sum + literal.length, 0);
  const steps = createSteps(size);
  const parent = new Uint32Array(size);
  const lastByte = new Uint8Array(size);
  const depth = new Uint32Array(size);
  const matched = new Uint32Array(size);
  let count = 1;
  for (const literal of literals) {
    let state = 0;
    for (const byte of literal) {
      let next = steps.get(state, byte);
      if (next === 0) {
        next = count++;
        steps.set(state, byte, next);
        parent[next] = state;
        lastByte[next] = byte;
        depth[next] = depth[state]! + 1;
      }
      state = next;
    }
    matched[state] = literal.length;
  }
  const fallback = new Uint32Array(size);
  for (const state of byDepth(depth.subarray(0, count))) {
    if (depth[state]! < 2) continue;
    const byte = lastByte[state]!;
    let shorter = fallback[parent[state]!]!;
    while (shorter !== 0 && steps.get(shorter, byte) === 0) shorter = fallback[shorter]!;
    fallback[state] = steps.get(shorter, byte);
    if (matched[state] === 0) matched[state] = matched[fallback[state]]!;
  }
  return { steps, depth, fallback, matched };
}

/** All states, the shallow ones first. */
function byDepth(depth: Uint32Array): Uint32Array {
  const starts: number[] = [];
  for (const one of depth) starts[one + 1] = (starts[one + 1] ?? 0) + 1;
  starts[0] = 0;
  for (let one = 1; one < starts.length; one++) starts[one] = starts[one - 1]! + (starts[one] ?? 0);
  const order = new Uint32Array(depth.length);
  for (const [state, one] of depth.entries()) order[starts[one]!++] = state;
  return order;
}

/** At most 2²⁴ states, so that a state and a byte make a key of 32 bits; none is of the last state. */
function createSteps(states: number): Steps {
  const size = 2 ** Math.ceil(Math.log2(states * 2 + 2));
  const keys = new Uint32Array(size).fill(noKey);
  const values = new Uint32Array(size);
  const slotOf = (key: number): number => {
    const mixed = Math.imul(key ^ (key >>> 15), 0x9e3779b1);
    let slot = (mixed ^ (mixed >>> 13)) & (size - 1);
    while (keys[slot] !== key && keys[slot] !== noKey) slot = (slot + 1) & (size - 1);
    return slot;
  };
  return {
    get: (state, byte) => values[slotOf(state * 256 + byte)]!,
    set(state, byte, next) {
      const slot = slotOf(state * 256 + byte);
      keys[slot] = state * 256 + byte;
      values[slot] = next;
    },
  };
}

const noKey = 0xffffffff;
