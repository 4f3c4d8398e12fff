// YAML as a tree of our own: places instead of ranges, aliases replaced, everything bounded before it is built.

import { Composer, isAlias, isMap, isScalar, isSeq, Lexer, Parser, type ParsedNode, type Scalar } from "yaml";
import { limits, limitText } from "./limits.ts";
import { keyPath, quote, type Place, type Report } from "./problems.ts";

/** `keyOffset` is where the key stands that it is the value of. */
export type YamlNode = (YamlScalar | YamlList | YamlMap) & Readonly<{ keyOffset?: number }>;
export type YamlScalar = Place & Readonly<{ kind: "scalar"; value: Scalar["value"]; source: string; end: number }>;
export type YamlList = Place & Readonly<{ kind: "list"; items: readonly YamlNode[] }>;
export type YamlMap = Place & Readonly<{ kind: "map"; entries: readonly YamlEntry[] }>;
export type YamlEntry = Readonly<{ key: string; place: Place; value: YamlNode }>;

/** Lexemes that a value takes at most, on average, with its comments and spaces. */
const lexemesPerNode = 8;

/** The one document of `text`, or `undefined` where that cannot be read; keys are unique and none is `<<`. */
export function readYaml(text: string, report: Report): YamlNode | undefined {
  const root: Place = { path: "", offset: 0 };
  const tokens = tokenize(text);
  if (typeof tokens === "string") {
    report.add(root, tokens);
    return undefined;
  }
  const [document, second] = new Composer({ uniqueKeys: false, prettyErrors: false }).compose(
    tokens,
    true,
    text.length,
  );
  for (const { pos, message } of document?.errors ?? [])
    report.add({ path: "", offset: pos[0] }, `not YAML: ${message}`);
  if (second !== undefined)
    report.add({ path: "", offset: second.range[0] }, "a second document: a file holds one pipeline");
  const contents = document?.contents ?? null;
  if (contents === null) {
    report.add(root, "the file is empty", "a pipeline has at least `jobs`");
    return undefined;
  }
  if (document === undefined || document.errors.length > 0) return undefined;
  return createTree(contents, report);
}

type Tokens = Parameters<Composer["compose"]>[0];

/** The syntax of `text`, or what bound it passes. Stops there, however long the text is. */
function tokenize(text: string): Tokens | string {
  const parser = new Parser();
  const tokens = [];
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++count > limits.nodes.value * lexemesPerNode) return `too much in one file: ${limitText("nodes")}`;
    tokens.push(...parser.next(lexeme));
    if (parser.stack.length > limits.depth.value * 2) return `too deep: ${limitText("depth")}`;
  }
  tokens.push(...parser.end());
  return tokens;
}

interface Reading {
  readonly report: Report;
  readonly anchors: Map<string, ParsedNode>;
  nodes: number;
  isOverfull: boolean;
}

function createTree(contents: ParsedNode, report: Report): YamlNode | undefined {
  const reading: Reading = { report, anchors: new Map(), nodes: 0, isOverfull: false };
  const root = readNode(contents, { path: "", offset: contents.range[0] }, 0, reading);
  return reading.isOverfull ? undefined : root;
}

function readNode(node: ParsedNode | null, place: Place, depth: number, reading: Reading): YamlNode {
  const nothing: YamlNode = { kind: "scalar", value: null, source: "", end: place.offset, ...place };
  if (isFull(place, depth, reading) || node === null) return nothing;
  const at = { path: place.path, offset: node.range[0] };
  if (isAlias(node)) return readAlias(node.source, at, depth, reading) ?? nothing;

  if (node.tag !== undefined)
    reading.report.add(
      at,
      `the tag ${quote(node.tag)}: no tags are used here`,
      "put the value in quotes where it is text",
    );
  if (node.anchor !== undefined) reading.anchors.set(node.anchor, node);
  if (isScalar(node)) {
    const source = node.source ?? "";
    return { kind: "scalar", value: node.value, source, end: node.range[1], ...at };
  }
  if (isSeq(node)) {
    const items = node.items.map((item, index) => {
      const itemAt = { path: `${place.path}[${index}]`, offset: item.range[0] };
      return readNode(item, itemAt, depth + 1, reading);
    });
    return { kind: "list", items, ...at };
  }
  return isMap(node) ? readMap(node, at, depth, reading) : nothing;
}

/** An alias stands for what carries its anchor; both count, so that a few lines cannot stand for millions. */
function readAlias(name: string, place: Place, depth: number, reading: Reading): YamlNode | undefined {
  const target = reading.anchors.get(name);
  if (target === undefined) {
    reading.report.add(place, `nothing before this is anchored as &${quote(name).slice(1, -1)}`);
    return undefined;
  }
  return readNode(target, place, depth + 1, reading);
}

type ParsedMap = Extract<ParsedNode, { items: readonly { key: unknown }[] }>;

function readMap(map: ParsedMap, place: Place, depth: number, reading: Reading): YamlMap {
  const entries = new Map<string, YamlEntry>();
  for (const { key: keyNode, value: valueNode } of map.items) {
    const key = readKey(keyNode);
    const offset = keyNode?.range[0] ?? place.offset;
    if (key === undefined) {
      reading.report.add({ path: place.path, offset }, "a key that is no text: keys are single words or texts");
      continue;
    }
    const keyAt = { path: keyPath(place.path, key), offset };
    if (key === "<<")
      reading.report.add(keyAt, "merge keys (<<) are not used here", "repeat the words, or alias a whole value");
    else if (entries.has(key)) reading.report.add(keyAt, `${quote(key)} is given twice`, "leave one of them");
    const value = readNode(valueNode, { path: keyAt.path, offset: valueNode?.range[0] ?? offset }, depth + 1, reading);
    if (key !== "<<" && !entries.has(key))
      entries.set(key, { key, place: keyAt, value: { ...value, keyOffset: offset } });
  }
  return { kind: "map", entries: [...entries.values()], ...place };
}

/** Keys are texts as they are written: `1.10` and `true` mean themselves. */
function readKey(node: ParsedNode | null): string | undefined {
  if (!isScalar(node) || node.tag !== undefined) return undefined;
  return typeof node.value === "string" ? node.value : (node.source ?? "");
}

function isFull(place: Place, depth: number, reading: Reading): boolean {
  if (reading.isOverfull) return true;
  const isDeep = depth > limits.depth.value;
  if (!isDeep && ++reading.nodes <= limits.nodes.value) return false;
  reading.isOverfull = true;
  reading.report.add(place, isDeep ? `too deep: ${limitText("depth")}` : `too much in one file: ${limitText("nodes")}`);
  return true;
}

/** The text of a scalar as it is written, so that `1.10` stays `1.10`; `undefined` where there is no value. */
export function scalarText({ value, source }: YamlScalar): string | undefined {
  if (typeof value === "string") return value;
  return value === null ? undefined : source;
}

/** Where the character `index` of a scalar's text stands in the file: exact but for folded and escaped texts. */
export function offsetInScalar(file: string, node: YamlScalar, index: number): number {
  const raw = file.slice(node.offset, node.end);
  const text = scalarText(node) ?? "";
  const header = /^(?:[|>][^\n]*\n|["'])/.exec(raw)?.[0].length ?? 0;
  let at = header;
  for (let read = 0; read < index && at < raw.length; read++, at++) at = nextMatch(raw, at, text[read]!);
  at = nextMatch(raw, at, text[index] ?? "");
  return at < raw.length ? node.offset + at : node.offset;
}

/** Skips what a scalar's text leaves out: indentation, and the line ends that folding turned into spaces. */
function nextMatch(raw: string, from: number, wanted: string): number {
  let at = from;
  const isBlank = wanted === " " || wanted === "\n";
  while (at < raw.length && raw[at] !== wanted && !(isBlank && raw[at] === "\n")) {
    if (!/\s|\\/.test(raw[at]!)) return raw.length;
    at++;
  }
  return at;
}
