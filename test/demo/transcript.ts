/** What differs from one run of the demo to the next, replaced by what does not. */
const masks: readonly [RegExp, string][] = [
  [/(\b(?:rnr|org|wkl)_)[a-z2-7]{16}/g, "$1…"],
  [/agyn-[a-z2-7]{16}/g, "agyn-…"],
  [/certificate [0-9a-f]{16}, until \d\d:\d\d UTC/g, "certificate …, until … UTC"],
  [/\/[0-9a-f]{32}\/agyn\.git/g, "/…/agyn.git"],
  [/\b[0-9a-f]{40}\b/g, "…"],
  [/127\.0\.0\.1:\d+/g, "127.0.0.1:…"],
  [/^( {2}commit +).*$/gm, "$1…"],
  [/^ +\d+\.\d\d s (?=[·│])/gm, "    … s "],
  [/\d+\.\d+ s\b/g, "… s"],
  [/\d+ MiB at most \([^)]*\)/g, "… MiB at most"],
  [/\b\d+ lines of TypeScript/g, "… lines of TypeScript"],
  [/yaml at [0-9a-f]{12}/g, "yaml at …"],
  [/│ \d+ files/g, "│ … files"],
  [/│ (Files|Lines): +\d+/g, "│ $1: …"],
  [/process \d+/g, "process …"],
  [/after \d+ lines/g, "after … lines"],
  [/ (uid|namespace|none)$/gm, " …"],
  [/^ +this machine cannot keep jobs from each other.*\n/gm, ""],
  [/ +$/gm, ""],
];

/** The text with every id, time, port, count and measurement replaced. */
export function mask(text: string): string {
  return masks.reduce((masked, [pattern, replacement]) => masked.replace(pattern, replacement), text).trim();
}

/** The text without what it says of the way by which runners come. */
export function maskOverlay(text: string): string {
  return text.replaceAll(/^ {2}(runner plane|network) .*\n/gm, "");
}

const block = /(<!-- transcript -->\n)([\s\S]*?)(<!-- \/transcript -->)/;

/** The transcript in a document; empty where there is none. */
export function readTranscript(document: string): string {
  return (block.exec(document)?.[2] ?? "").replace(/^```text\n|```\n$/g, "");
}

/** The document with another transcript. */
export function replaceTranscript(document: string, transcript: string): string {
  const text = `\`\`\`text\n${transcript.trim()}\n\`\`\`\n`;
  return document.replace(block, (_, before: string, _before, after: string) => `${before}${text}${after}`);
}
