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
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.max(1, Math.abs(value)))));
  return value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}
