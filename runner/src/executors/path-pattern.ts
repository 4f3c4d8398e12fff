/** Whether a path below the workspace is meant. */
export type PathMatcher = (path: string) => boolean;

/**
 * The paths that a pattern means, and all that lies in a folder that it means: `*` and `?` stay within a name, `**` as a whole part goes
 * through folders. A pattern and the names in a workspace are a job's own, so the time this takes grows with their lengths only, where a
 * regular expression could take for ever (I13).
 */
export function createPathMatcher(pattern: string): PathMatcher {
  if (pattern === ".") return () => true;
  const parts = pattern.split("/");
  const last = parts.length - 1;
  return (path) => {
    /** Of the pattern, the parts that the next name may be of. */
    let expected = new Set<number>();
    const expect = (index: number): void => {
      if (expected.has(index)) return;
      expected.add(index);
      // It may go through no folder at all.
      if (parts[index] === "**" && index < last) expect(index + 1);
    };
    expect(0);
    for (const name of path.split("/")) {
      const now = expected;
      expected = new Set();
      for (const index of now) {
        const part = parts[index]!;
        const isMeant = part === "**" || matchesName(part, name);
        if (isMeant && index === last) return true;
        if (isMeant) expect(part === "**" ? index : index + 1);
      }
    }
    return false;
  };
}

/** Of one name; where a `*` took too little, the last one takes more, and none before it needs to. */
function matchesName(part: string, name: string): boolean {
  let at = 0;
  let next = 0;
  let star: { next: number; at: number } | undefined;
  while (at < name.length) {
    if (part[next] === "*") star = { next: ++next, at };
    else if (part[next] === "?" || part[next] === name[at]) {
      next++;
      at++;
    } else if (star !== undefined) {
      star.at++;
      ({ next, at } = star);
    } else return false;
  }
  while (part[next] === "*") next++;
  return next === part.length;
}
