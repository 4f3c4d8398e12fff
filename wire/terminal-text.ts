/**
 * Makes text from elsewhere safe for a terminal.
 *
 * Logs keep their colours (SGR) and nothing else of what drives a terminal; names and messages keep no control at all.
 * What is taken out leaves no trace, but for a carriage return inside a line: it would hide what stands before it, so it
 * becomes a line break.
 */

/** Longest colour sequence that is kept; a longer one is taken out. */
const maximumColourCharacters = 64;
/** Longest escape that is waited for; past this the rest of the line is text again. */
const maximumEscapeCharacters = 4096;

const escape = "\u001b";
const bell = "\u0007";
const stringTerminator = "\u009c";
const reset = "\u001b[0m";

/**
 * Where the text stands: plain; behind a carriage return; behind ESC; in a control sequence (with what was read of it);
 * in a string such as a title or a link (`isEscaped` behind an ESC in it).
 */
type State =
  | { kind: "text" }
  | { kind: "return" }
  | { kind: "escape"; length: number }
  | { kind: "control"; parameters: string; length: number }
  | { kind: "string"; isEscaped: boolean; length: number };

export type LogSanitizer = {
  /** Safe text for these bytes or characters; escapes and code points may be cut between two calls. */
  push(input: Uint8Array | string): string;
  /** What is left at the end; colours are reset if they were set. */
  end(): string;
};

/** A sanitizer of one log or of one stream of it: state goes on from call to call. */
export function createLogSanitizer(): LogSanitizer {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let state: State = { kind: "text" };
  let isColoured = false;

  function sanitize(input: string): string {
    let safe = "";
    for (let index = 0; index < input.length;) {
      const run = state.kind === "text" ? plainRun(input, index) : "";
      safe += run;
      index += run.length;
      if (index === input.length) break;
      const character = String.fromCodePoint(input.codePointAt(index)!);
      index += character.length;
      const step = next(state, character);
      state = step.state;
      safe += step.output;
      if (step.output.startsWith(escape)) isColoured = step.output !== reset && step.output !== `${escape}[m`;
    }
    return safe;
  }

  return {
    push: (input) => sanitize(typeof input === "string" ? input : decoder.decode(input, { stream: true })),
    end() {
      const rest = sanitize(decoder.decode());
      state = { kind: "text" };
      const closing = isColoured ? reset : "";
      isColoured = false;
      return rest + closing;
    },
  };
}

/** The characters from `index` on that need no look of their own. */
function plainRun(input: string, index: number): string {
  plain.lastIndex = index;
  return plain.exec(input)?.[0] ?? "";
}

const plain = /(?:[\n\t]|[^\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069])+/uy;

/** Safe text for a whole log or a line of its own: colours stay and are reset at the end. */
export function sanitizeLog(input: Uint8Array | string): string {
  const sanitizer = createLogSanitizer();
  return sanitizer.push(input) + sanitizer.end();
}

type Step = { state: State; output: string };
const text: State = { kind: "text" };

function next(state: State, character: string): Step {
  switch (state.kind) {
    case "text":
      return inText(character);
    case "return":
      return afterReturn(character);
    case "escape":
      return afterEscape(state.length, character);
    case "control":
      return inControl(state, character);
    case "string":
      return inString(state, character);
  }
}

function inText(character: string): Step {
  const code = character.codePointAt(0)!;
  if (character === "\r") return { state: { kind: "return" }, output: "" };
  if (character === escape) return { state: { kind: "escape", length: 1 }, output: "" };
  if (code === 0x9b) return { state: { kind: "control", parameters: "", length: 1 }, output: "" };
  if (isStringStart(code)) return { state: { kind: "string", isEscaped: false, length: 1 }, output: "" };
  const isKept = character === "\n" || character === "\t" || !isHidden(code);
  return { state: text, output: isKept ? character : "" };
}

/** `\r\n` is a line's end; a return before anything else, however many, is a line break of its own. */
function afterReturn(character: string): Step {
  if (character === "\r") return { state: { kind: "return" }, output: "" };
  const step = inText(character);
  return character === "\n" ? step : { state: step.state, output: `\n${step.output}` };
}

function afterEscape(length: number, character: string): Step {
  const code = character.codePointAt(0)!;
  if (character === "[") return { state: { kind: "control", parameters: "", length: 2 }, output: "" };
  if ("]PX^_".includes(character)) return { state: { kind: "string", isEscaped: false, length: 2 }, output: "" };
  if (code >= 0x20 && code <= 0x2f && length < maximumEscapeCharacters) {
    return { state: { kind: "escape", length: length + 1 }, output: "" };
  }
  if (code >= 0x30 && code <= 0x7e) return { state: text, output: "" };
  return inText(character);
}

function inControl({ parameters, length }: { parameters: string; length: number }, character: string): Step {
  const code = character.codePointAt(0)!;
  if (code >= 0x20 && code <= 0x3f) {
    // Of a long sequence only its length is remembered: it is no colour, whatever ends it.
    const kept = length <= maximumColourCharacters ? parameters + character : parameters;
    if (length >= maximumEscapeCharacters) return { state: { kind: "control", parameters: "?", length }, output: "" };
    return { state: { kind: "control", parameters: kept, length: length + 1 }, output: "" };
  }
  const isColour = character === "m" && length <= maximumColourCharacters && /^[\d;:]*$/.test(parameters);
  if (isColour) return { state: text, output: `${escape}[${parameters}m` };
  return code >= 0x40 && code <= 0x7e ? { state: text, output: "" } : inText(character);
}

/** A string ends with BEL or ST; one that is not ended ends with its line, or when it is longer than any real one. */
function inString({ isEscaped, length }: { isEscaped: boolean; length: number }, character: string): Step {
  if (character === bell || character === stringTerminator) return { state: text, output: "" };
  if (character === "\n" || character === "\r") return inText(character);
  if (isEscaped) return character === "\\" ? { state: text, output: "" } : afterEscape(1, character);
  if (length >= maximumEscapeCharacters) return inText(character);
  return { state: { kind: "string", isEscaped: character === escape, length: length + 1 }, output: "" };
}

/** The 8-bit forms of DCS, SOS, OSC, PM and APC. */
function isStringStart(code: number): boolean {
  return code === 0x90 || code === 0x98 || code === 0x9d || code === 0x9e || code === 0x9f;
}

/** Controls, and characters that reorder or hide the text around them. */
function isHidden(code: number): boolean {
  return isControl(code) || isBidi(code) || code === 0x2028 || code === 0x2029;
}

function isControl(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f);
}

function isBidi(code: number): boolean {
  return (
    (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069) ||
    code === 0x200e ||
    code === 0x200f ||
    code === 0x061c
  );
}

function isInvisible(code: number): boolean {
  const isZeroWidth = code === 0x200b || code === 0x2060 || code === 0xfeff || code === 0x00ad;
  return isZeroWidth || code === 0x2028 || code === 0x2029 || (code >= 0xe0000 && code <= 0xe007f);
}

/**
 * A name or a message on one line: whole escapes are taken out, line breaks and tabs become spaces, and every other
 * control, reordering or invisible character becomes U+FFFD, so that a forged name is seen to be one.
 */
export function sanitizeText(input: string): string {
  let safe = "";
  for (const character of sanitizeEscapes(input)) {
    const code = character.codePointAt(0)!;
    if (character === "\n" || character === "\r" || character === "\t") safe += " ";
    else if (isControl(code) || isBidi(code) || isInvisible(code) || isLoneSurrogate(code)) safe += "\ufffd";
    else safe += character;
  }
  return safe;
}

function sanitizeEscapes(input: string): string {
  let state: State = text;
  let rest = "";
  for (const character of input) {
    const isInside = state.kind !== "text";
    const isPlain = !isInside && character !== escape && !is8BitEscape(character);
    if (isPlain) {
      rest += character;
      continue;
    }
    const step = next(state, character);
    state = step.state.kind === "return" ? text : step.state;
    if (step.state.kind === "return") rest += " ";
    if (!step.output.startsWith(escape)) rest += step.output;
  }
  return rest;
}

function is8BitEscape(character: string): boolean {
  const code = character.codePointAt(0)!;
  return code === 0x9b || isStringStart(code);
}

function isLoneSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdfff;
}
