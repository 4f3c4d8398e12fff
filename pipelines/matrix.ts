import { limits, limitText } from "./limits.ts";
import type { MatrixCell, Value } from "./pipeline.ts";
import { quote, suggest, type Place, type Report } from "./problems.ts";
import type { Entry, Located } from "./shapes.ts";

/** A matrix as the file says it. */
interface MatrixWords {
  readonly rest: readonly Entry<readonly Located<Value>[]>[];
  readonly include?: readonly Located<readonly Entry<Value>[]>[];
  readonly exclude?: readonly Located<readonly Entry<Value>[]>[];
}

/** Axis → value, while cells are made. */
type Cell = Map<string, Value>;

/**
 * The cells of a matrix: every combination of the axes' values, without those that `exclude` names, and with what `include`
 * adds. An entry of `include` extends each combination that it does not contradict; where there is none, it is a cell of its
 * own. `undefined` where problems were reported; how many cells there would be is known before the first is made.
 */
export function createCells(words: MatrixWords, place: Place, report: Report): readonly MatrixCell[] | undefined {
  const axes = words.rest.map(({ key, value = [] }) => ({ name: key, values: distinctValues(value, report) }));
  const count = axes.reduce((product, { values }) => product * values.length, axes.length === 0 ? 0 : 1);
  if (count > limits.matrixCells.value) {
    const sizes = axes.map(({ values }) => values.length).join(" × ");
    report.add(place, `${sizes} = ${count.toLocaleString("en-US")} cells: ${limitText("matrixCells")}`);
    return undefined;
  }
  const combined = axes.reduce<Cell[]>(
    (cells, { name, values }) => cells.flatMap((cell) => values.map((value) => new Map([...cell, [name, value]]))),
    axes.length === 0 ? [] : [new Map()],
  );
  const kept = withoutExcluded(combined, words, report);
  const cells = withIncluded(kept, words, report);
  const hint = combined.length > 0 ? "`exclude` leaves none" : "give it an axis, such as os: [linux, macos]";
  if (cells.length === 0) report.add(place, "the matrix has no cells", hint);
  if (cells.length <= limits.matrixCells.value) return cells.map((cell) => Object.fromEntries(cell));
  report.add(place, `${cells.length.toLocaleString("en-US")} cells: ${limitText("matrixCells")}`);
  return undefined;
}

/** Values that would give two jobs of one name are refused, such as 20 and "20". */
function distinctValues(values: readonly Located<Value>[], report: Report): readonly Value[] {
  const seen = new Map<string, Value>();
  for (const { value, node } of values) {
    if (seen.has(String(value))) report.add(node, `${quote(String(value))} is twice on this axis`, "leave one of them");
    else seen.set(String(value), value);
  }
  return [...seen.values()];
}

function withoutExcluded(cells: readonly Cell[], { rest, exclude = [] }: MatrixWords, report: Report): Cell[] {
  let kept = [...cells];
  for (const { value: entries, node } of exclude) {
    for (const { key, place } of entries) {
      if (!rest.some((axis) => axis.key === key))
        report.add(
          place,
          `the matrix has no axis ${quote(key)}`,
          suggest(
            key,
            rest.map((axis) => axis.key),
          ),
        );
    }
    const left = kept.filter((cell) => !agrees(cell, entries));
    if (left.length === kept.length) report.add(node, "excludes nothing", "is a value written otherwise on its axis?");
    kept = left;
  }
  return kept;
}

function agrees(cell: Cell, entries: readonly Entry<Value>[]): boolean {
  return entries.every(({ key, value }) => cell.get(key) === value);
}

function withIncluded(cells: readonly Cell[], { rest, include = [] }: MatrixWords, report: Report): Cell[] {
  const isAxis = (key: string): boolean => rest.some((axis) => axis.key === key);
  const extended = cells.map((cell) => new Map(cell));
  const own: Cell[] = [];
  for (const { value: entries, node } of include) {
    const onAxes = entries.filter(({ key }) => isAxis(key));
    const agreeing = extended.filter((cell) => agrees(cell, onAxes));
    const cell: Cell = new Map(entries.flatMap(({ key, value }) => (value === undefined ? [] : [[key, value]])));
    for (const other of agreeing) for (const [key, value] of cell) other.set(key, value);
    if (agreeing.length > 0) continue;
    if (cell.size === 0) report.add(node, "adds nothing");
    else if (own.some((other) => isSame(cell, other))) report.add(node, "adds a cell that is there already");
    else own.push(cell);
  }
  return [...extended, ...own];
}

function isSame(one: Cell, other: Cell): boolean {
  return one.size === other.size && [...one].every(([key, value]) => other.get(key) === value);
}

/** `test (linux, 20)`: the definition's name and the cell's values, in the order of the file. */
export function cellName(job: string, cell: MatrixCell): string {
  const values = Object.values(cell).map(String);
  const name = values.length === 0 ? job : `${job} (${values.join(", ")})`;
  const bound = limits.jobName_characters.value;
  return name.length <= bound ? name : `${name.slice(0, bound - 1).toWellFormed()}…`;
}
