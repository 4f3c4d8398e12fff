import type { Figure, Report } from "./figure.ts";

/** A report for people: a line a figure, its baseline beneath it, and what limits it. */
export function toTable(name: string, { figures, limit }: Report): string {
  const width = Math.max(...figures.map((figure) => figure.name.length));
  const lines = figures.flatMap((figure) => [
    `  ${figure.name.padEnd(width)}  ${format(figure.value)} ${figure.unit}${figure.target === undefined ? "" : `   (aim: ${figure.target})`}`,
    `    ${describe(figure)}`,
  ]);
  return [`\n${name}`, ...lines, `  limit: ${limit}`].join("\n");
}

function describe({ baseline, ratio }: Figure): string {
  return `${format(ratio)} × ${baseline.name}: ${format(baseline.value)}`;
}

function format(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}
