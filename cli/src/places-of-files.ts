/** Where a file lies: in a workload, or here. */
export type Place = { workload: string | undefined; path: string };

/** What `nightly:/out` or `./file` means. What begins with a dot or a slash is here, whatever follows. */
export function parsePlace(text: string): Place {
  const match = /^([A-Za-z0-9][A-Za-z0-9._-]*):(.*)$/s.exec(text);
  if (!match) return { workload: undefined, path: text };
  return { workload: match[1]!, path: match[2] === "" ? "." : match[2]! };
}
