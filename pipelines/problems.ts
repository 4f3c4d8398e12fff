import { limits } from "./limits.ts";
import type { FileProblem } from "./pipeline.ts";

/** A place in a file: dotted path, and offset in UTF-16 units. */
export type Place = Readonly<{ path: string; offset: number }>;

/** What was meant; where that takes work to find, it is found for the problems that are shown only. */
export type Hint = string | (() => string | undefined);

/** Gathers every problem of one file, up to a bound. */
export interface Report {
  add(place: Place, message: string, hint?: Hint): void;
  /** Whether something was found at `path` or below it. */
  hasProblemAt(path: string): boolean;
  /** By place in the file; the last one says so where there were more. */
  list(): readonly FileProblem[];
}

/** Nothing is found yet in `text`, the whole file, in which places become lines and columns. */
export function createReport(text: string): Report {
  const found: (Place & { message: string; hint?: string })[] = [];
  const known = new Set<string>();
  let total = 0;
  return {
    add({ path, offset }, message, meant) {
      const key = `${offset} ${path} ${message}`;
      if (known.has(key)) return;
      total++;
      if (found.length === limits.problems.value) return;
      known.add(key);
      const hint = hintText(meant);
      found.push(hint === undefined ? { path, offset, message } : { path, offset, message, hint });
    },
    hasProblemAt: (path) => found.some((problem) => problem.path === path || isBelow(problem.path, path)),
    list() {
      if (found.length === 0) return [];
      const starts = lineStarts(text);
      const problems = found
        .toSorted((one, other) => one.offset - other.offset)
        .map(({ offset, ...problem }) => ({ ...position(starts, offset), ...problem }));
      const last = problems.at(-1);
      if (total > found.length && last !== undefined)
        problems.push({ ...last, message: `and ${total - found.length} more problems: mend these first` });
      return problems;
    },
  };
}

function isBelow(path: string, parent: string): boolean {
  return path.startsWith(`${parent}.`) || path.startsWith(`${parent}[`);
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (const { index } of text.matchAll(/\n/g)) starts.push(index + 1);
  return starts;
}

function position(starts: readonly number[], offset: number): { line: number; column: number } {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - starts[low]! + 1 };
}

/** `path` one key further. */
export function keyPath(path: string, key: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(key)) return `${path}[${quote(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}

/** Characters of a text that a message repeats. */
const quotedCharacters = 64;

/** Part of a message: the text in quotes, control characters escaped, cut where it is long. */
export function quote(text: string): string {
  const shown = text.length > quotedCharacters ? `${text.slice(0, quotedCharacters)}…` : text;
  return JSON.stringify(shown.toWellFormed());
}

/** Names that a hint lists. */
const listedNames = 24;

/** "did you mean …?" where a known name is close to `name`, or is what another system's word stands for; else the known ones. */
export function suggest(name: string, known: Iterable<string>, others?: ReadonlyMap<string, string>): () => string {
  return () => {
    const names = [...known];
    const meant = suggestNearest(name, names, others)();
    if (meant !== undefined) return meant;
    if (names.length === 0) return "there are none";
    const listed = names.slice(0, listedNames).map((one) => quote(one).slice(1, -1));
    return `there ${names.length === 1 ? "is" : "are"} ${listed.join(", ")}${names.length > listedNames ? ", …" : ""}`;
  };
}

/** The same, or nothing where no known name is close. */
export function suggestNearest(
  name: string,
  known: readonly string[],
  others?: ReadonlyMap<string, string>,
): () => string | undefined {
  return () => {
    const meant = others?.get(name) ?? nearest(name, known);
    return meant === undefined ? undefined : `did you mean ${quote(meant).slice(1, -1)}?`;
  };
}

/** Only now is a hint made whose making takes long. */
export function hintText(hint: Hint | undefined): string | undefined {
  return typeof hint === "function" ? hint() : hint;
}

/** A longer name is not compared with others: what that takes grows with the square of the length. */
const comparedCharacters = 32;

function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > comparedCharacters) return undefined;
  const wanted = fold(name);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = nameDistance(wanted, fold(candidate.slice(0, comparedCharacters)));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, "");
}

/** A name that another begins with is one step from it, however long the rest is. */
const telling = 3;

function nameDistance(one: string, other: string): number {
  if (one === other) return 0;
  if (one.length >= telling && other.startsWith(one)) return 1;
  if (other.length >= telling && one.startsWith(other)) return 1;
  return editDistance(one, other);
}

/** Letters to insert, remove, replace or swap with their neighbour (optimal string alignment), over names of bounded length. */
function editDistance(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 0; row < one.length; row++) {
    const current = [row + 1];
    for (let column = 0; column < other.length; column++) {
      const replaced = last[column]! + (one[row] === other[column] ? 0 : 1);
      const isSwap = row > 0 && column > 0 && one[row] === other[column - 1] && one[row - 1] === other[column];
      const swapped = isSwap ? beforeLast[column - 1]! + 1 : Number.POSITIVE_INFINITY;
      current.push(Math.min(replaced, swapped, last[column + 1]! + 1, current[column]! + 1));
    }
    [beforeLast, last] = [last, current];
  }
  return last[other.length]!;
}
