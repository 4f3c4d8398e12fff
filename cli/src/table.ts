import { displayWidth, padEnd, truncate } from "./display-width.ts";

/** One cell: safe text, and a paint that does not change its width. */
export interface Cell {
  readonly text: string;
  readonly paint?: ((text: string) => string) | undefined;
}

const gap = "  ";
/** A column is not narrowed below this many cells (unless it is narrower by itself). */
const minimumColumnCells = 6;

/**
 * Lines of a table whose columns line up. With a `width`, lines take at most so many cells: the widest columns are
 * narrowed first, and where that is not enough, the last columns are left out.
 */
export function layOutTable(headers: readonly string[], rows: readonly (readonly Cell[])[], width?: number): string[] {
  const natural = headers.map((header, index) =>
    rows.reduce((widest, row) => Math.max(widest, displayWidth(row[index]?.text ?? "")), displayWidth(header)),
  );
  const widths = width === undefined ? natural : fit(natural, width);
  const line = (cells: readonly Cell[]): string =>
    widths
      .map((cellWidth, index) => {
        const { text, paint } = cells[index] ?? { text: "" };
        const cut = truncate(text, cellWidth);
        const padded = index === widths.length - 1 ? cut : padEnd(cut, cellWidth);
        return paint === undefined ? padded : paint(padded);
      })
      .join(gap)
      .trimEnd();
  return [line(headers.map((text) => ({ text }))), ...rows.map(line)];
}

function fit(natural: readonly number[], width: number): number[] {
  const floor = natural.map((cells) => Math.min(cells, minimumColumnCells));
  let count = natural.length;
  while (count > 1 && total(floor.slice(0, count)) > width) count -= 1;
  const widths = natural.slice(0, count);
  while (total(widths) > width) {
    const widest = Math.max(...widths);
    const next = Math.max(...widths.filter((cells) => cells < widest), minimumColumnCells);
    if (widest <= minimumColumnCells) return [Math.min(widths[0]!, Math.max(1, width))];
    const indexes = widths.flatMap((cells, index) => (cells === widest ? [index] : []));
    const excess = total(widths) - width;
    const step = Math.max(1, Math.min(widest - next, Math.ceil(excess / indexes.length)));
    for (const index of indexes) widths[index] = widest - step;
  }
  return widths;
}

function total(widths: readonly number[]): number {
  return widths.reduce((sum, cells) => sum + cells, 0) + gap.length * Math.max(0, widths.length - 1);
}
