/** What a generated page begins with. */
export function heading(title: string, source: string): string {
  return `# ${title}\n\n<!-- Made by \`npm run reference\` from ${source}; edit that instead. -->\n`;
}

/** A table; bars in cells are escaped, line ends become blanks. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(columns), `|${"---|".repeat(columns.length)}`, ...rows.map(line)].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", String.raw`\|`).replaceAll(/\s*\n\s*/g, " ");
}
