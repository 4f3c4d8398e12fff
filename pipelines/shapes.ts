// A shape says once what a value may be: how it is read from a file, what an editor is told, and how documents name it.

import { limits, limitText } from "./limits.ts";
import { quote, suggest, type Report } from "./problems.ts";
import { scalarText, type YamlNode } from "./read-yaml.ts";

/** A part of a JSON Schema (draft 2020-12). */
export type JsonSchema = Readonly<{ [word: string]: JsonSchema | JsonSchema[] | string[] | string | number | boolean }>;

export interface Shape<T> {
  /** What stands there, with its article: `a duration such as 10m`. */
  readonly what: string;
  readonly schema: JsonSchema;
  /** The value; `undefined` where a problem was reported. */
  readonly read: (node: YamlNode, report: Report) => T | undefined;
  /** What it is made of, for documents. */
  readonly parts?: readonly Shape<unknown>[];
  readonly words?: Words;
  /** Of a record. */
  readonly title?: string;
  /** What keys of a record that are none of its words stand for. */
  readonly restHelp?: string;
}

/** A value and where it stands. */
export type Located<T> = Readonly<{ value: T; node: YamlNode }>;

/** What a shape is, without the rules behind its colon. */
export function briefly({ what }: Shape<unknown>): string {
  return what.replace(/:.*$/, "");
}

export type LimitName = keyof typeof limits;

/** Keeps the place of what it reads. */
export function located<T>(shape: Shape<T>): Shape<Located<T>> {
  return {
    ...shape,
    read(node, report) {
      const value = shape.read(node, report);
      return value === undefined ? undefined : { value, node };
    },
  };
}

/** What stands there instead of what is expected. */
export function kindText(node: YamlNode): string {
  if (node.kind !== "scalar") return node.kind === "list" ? "a list" : "a map";
  if (node.value === null) return 'empty (an empty text is "")';
  return quote(scalarText(node) ?? "");
}

interface ListRules<T> {
  readonly max: LimitName;
  readonly min?: number;
  /** Where an item may be given once only: what it is known by. */
  readonly identify?: (item: T) => string;
}

/** Items of one shape; those with problems are left out. */
export function list<T>(of: Shape<T>, { max, min = 0, identify }: ListRules<T>): Shape<readonly T[]> {
  const what = `a list, each ${briefly(of)}`;
  return {
    what,
    schema: { type: "array", items: of.schema, minItems: min, maxItems: limits[max].value },
    parts: [of],
    read(node, report) {
      if (node.kind !== "list") {
        report.add(node, `is ${kindText(node)}: expected ${what}`);
        return undefined;
      }
      if (node.items.length > limits[max].value) {
        report.add(node, `${node.items.length.toLocaleString("en-US")} of them: ${limitText(max)}`);
        return undefined;
      }
      if (node.items.length < min) report.add(node, `is empty: expected at least ${min} of them`);
      const seen = new Set<string>();
      return node.items.flatMap((itemNode) => {
        const item = of.read(itemNode, report);
        const id = item === undefined ? undefined : identify?.(item);
        if (id !== undefined && seen.has(id)) report.add(itemNode, `${quote(id)} is listed twice`, "leave one of them");
        if (id !== undefined) seen.add(id);
        return item === undefined ? [] : [item];
      });
    },
  };
}

/** A value of one shape for each key. What has problems is left out, but for its key. */
export interface Entry<T> {
  readonly key: string;
  readonly place: YamlNode;
  readonly value: T | undefined;
}

/** Keys that name things, and a value of one shape for each. */
export function map<T>(keys: Shape<string>, of: Shape<T>, max: LimitName): Shape<readonly Entry<T>[]> {
  const what = `a map from ${briefly(keys)} to ${briefly(of)}`;
  const propertyNames = keys.schema;
  return {
    what,
    schema: { type: "object", propertyNames, additionalProperties: of.schema, maxProperties: limits[max].value },
    parts: [of],
    read(node, report) {
      if (node.kind !== "map") {
        report.add(node, `is ${kindText(node)}: expected ${what}`);
        return undefined;
      }
      if (node.entries.length > limits[max].value) {
        report.add(node, `${node.entries.length.toLocaleString("en-US")} of them: ${limitText(max)}`);
        return undefined;
      }
      return node.entries.flatMap(({ key, place, value }) => {
        const keyNode: YamlNode = { kind: "scalar", value: key, source: key, end: place.offset, ...place };
        if (keys.read(keyNode, report) === undefined) return [];
        return [{ key, place: keyNode, value: of.read(value, report) }];
      });
    },
  };
}

/** A word of a record. */
export interface Word<T> {
  readonly shape: Shape<T>;
  /** For editors and documents. */
  readonly help: string;
  readonly isRequired?: boolean;
}

export type Words = Readonly<Record<string, Word<unknown>>>;
export type RecordOf<W extends Words> = { readonly [K in keyof W]?: W[K] extends Word<infer T> ? T : never };

/** A fixed set of words. `others` are words of other systems, and what they are called here. */
export function record<const W extends Words>(
  title: string,
  words: W,
  others: ReadonlyMap<string, string> = new Map(),
): Shape<RecordOf<W>> {
  const known = new Map<string, Word<unknown>>(Object.entries(words));
  const required = [...known].filter(([, word]) => word.isRequired === true).map(([word]) => word);
  const what = `a map of ${[...known.keys()].slice(0, 4).join(", ")}${known.size > 4 ? ", …" : ""}`;
  const described = [...known].map(([word, { shape, help }]) => [word, { ...shape.schema, description: help }]);
  return {
    what,
    title,
    words,
    parts: [...known.values()].map(({ shape }) => shape),
    schema: {
      type: "object",
      properties: Object.fromEntries(described) as JsonSchema,
      required,
      additionalProperties: false,
    },
    read(node, report) {
      if (node.kind !== "map") {
        report.add(node, `is ${kindText(node)}: expected ${what}`);
        return undefined;
      }
      const values: [string, unknown][] = [];
      for (const { key, place, value } of node.entries) {
        const word = known.get(key);
        if (word !== undefined) values.push([key, word.shape.read(value, report)]);
        else report.add(place, `unknown word ${quote(key)} in ${title}`, suggest(key, known.keys(), others));
      }
      const place = { path: node.path, offset: node.keyOffset ?? node.offset };
      for (const word of required) {
        if (!node.entries.some(({ key }) => key === word)) report.add(place, `\`${word}\` is missing in ${title}`);
      }
      return Object.fromEntries(values) as RecordOf<W>;
    },
  };
}

interface OpenRecord<W extends Words, T> {
  readonly title: string;
  readonly words: W;
  /** What every other key is. */
  readonly rest: Shape<readonly Entry<T>[]>;
  readonly restHelp: string;
}

/** A record whose other keys name things. */
export function openRecord<const W extends Words, T>(
  open: OpenRecord<W, T>,
): Shape<RecordOf<W> & { readonly rest: readonly Entry<T>[] }> {
  const fixed = record(open.title, open.words);
  const { additionalProperties = true } = open.rest.schema;
  return {
    ...fixed,
    what: `${fixed.what}, and names`,
    restHelp: open.restHelp,
    parts: [...(fixed.parts ?? []), open.rest],
    schema: { ...fixed.schema, additionalProperties },
    read(node, report) {
      if (node.kind !== "map") return fixed.read(node, report) as undefined;
      const isWord = ({ key }: { key: string }): boolean => Object.hasOwn(open.words, key);
      const words = fixed.read({ ...node, entries: node.entries.filter(isWord) }, report);
      const rest = open.rest.read({ ...node, entries: node.entries.filter((entry) => !isWord(entry)) }, report);
      return words === undefined ? undefined : { ...words, rest: rest ?? [] };
    },
  };
}

/** One shape or another, told apart by the kind of value that stands there. */
export function byKind<T>(shapes: Partial<Record<YamlNode["kind"], Shape<T>>>): Shape<T> {
  const all = Object.values(shapes);
  const what = all.map(briefly).join(", or ");
  return {
    what,
    schema: { anyOf: all.map((shape) => shape.schema) },
    parts: all,
    read(node, report) {
      const shape = shapes[node.kind];
      if (shape === undefined) report.add(node, `is ${kindText(node)}: expected ${what}`);
      return shape?.read(node, report);
    },
  };
}

/** Another form of the same thing. */
export function as<T, U>(shape: Shape<T>, change: (value: T, node: YamlNode) => U): Shape<U> {
  return {
    ...shape,
    read(node, report) {
      const value = shape.read(node, report);
      return value === undefined ? undefined : change(value, node);
    },
  };
}
