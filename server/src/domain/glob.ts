/** `*` within a segment, `**` over segments, `?` one character of a segment; all else stands for itself. */
type Token = { kind: "star" | "stars" | "one" | "gate" | "folders" } | { kind: "text"; character: string };

/**
 * Whether a text fits a pattern as a whole. Every place of the text is held against every place of the pattern at most once, so that no
 * pattern takes longer than the product of the two lengths.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  const tokens = tokensOf(pattern);
  let reached = new Set(closure(tokens, [0]));
  for (const character of text) {
    const next: number[] = [];
    for (const place of reached) {
      const token = tokens[place];
      if (!token) continue;
      if (stays(token, character)) next.push(place);
      if (steps(token, character)) next.push(place + 1);
    }
    if (next.length === 0) return false;
    reached = new Set(closure(tokens, next));
  }
  return reached.has(tokens.length);
}

/** Whether a text fits one of the patterns, and none that `!` takes away; patterns that only take away fit all else. */
export function matchesPatterns(patterns: readonly string[], text: string): boolean {
  const wanted = patterns.filter((one) => !one.startsWith("!"));
  const unwanted = patterns.filter((one) => one.startsWith("!")).map((one) => one.slice(1));
  if (unwanted.some((one) => matchesGlob(one, text))) return false;
  return wanted.length === 0 || wanted.some((one) => matchesGlob(one, text));
}

function stays({ kind }: Token, character: string): boolean {
  return kind === "stars" || kind === "folders" || (kind === "star" && character !== "/");
}

function steps(token: Token, character: string): boolean {
  if (token.kind === "text") return token.character === character;
  if (token.kind === "folders") return character === "/";
  return token.kind === "one" && character !== "/";
}

/** The places, and those that are reached from them without a character. */
function closure(tokens: readonly Token[], places: readonly number[]): number[] {
  const all = new Set<number>();
  const open = [...places];
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (all.has(place)) continue;
    all.add(place);
    const kind = tokens[place]?.kind;
    if (kind === "star" || kind === "stars" || kind === "gate") open.push(place + 1);
    if (kind === "gate") open.push(place + 2);
  }
  return [...all];
}

/** `**` + `/` at the start of a segment is any number of folders, also none: a gate around them. */
function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const characters = [...pattern];
  for (let index = 0; index < characters.length; index += 1) {
    const character = characters[index]!;
    if (character === "?") tokens.push({ kind: "one" });
    else if (character !== "*") tokens.push({ kind: "text", character });
    else if (characters[index + 1] === "*") {
      while (characters[index + 1] === "*") index += 1;
      const isFolders = characters[index + 1] === "/" && isSegmentStart(tokens);
      if (isFolders) {
        index += 1;
        tokens.push({ kind: "gate" }, { kind: "folders" });
      } else tokens.push({ kind: "stars" });
    } else tokens.push({ kind: "star" });
  }
  return tokens;
}

function isSegmentStart(tokens: readonly Token[]): boolean {
  const last = tokens.at(-1);
  return last === undefined || last.kind === "folders" || (last.kind === "text" && last.character === "/");
}
