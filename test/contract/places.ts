import { create, getOption, ScalarType, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { field as fieldRules, type FieldRules } from "../../proto/gen/buf/validate/validate_pb.ts";

/** A place in a request that holds text or bytes, or several of something; found in the descriptors, however deep. */
export type Place = {
  /** Such as `spec.environment.value`, without indexes. */
  path: string;
  kind: "string" | "bytes" | "many";
  /** The most it may hold: characters, bytes, or items; undefined where the contract names no bound. */
  bound: number | undefined;
  /** What a text must match; undefined where the contract names no pattern. */
  pattern?: string | undefined;
  /** Puts a value of this size in its place, and what it needs around it. */
  fill: (root: Message, size: number) => void;
  /** Puts this text in its place. */
  put: (root: Message, text: string) => void;
};

type Open = (root: Message) => ReflectMessage;

/** Longer than what a pattern without repetition lets through. */
const beyondPattern = 1000;
const deepest = 8;

/** Every such place of a request. */
export function placesOf(request: DescMessage): Place[] {
  return [...places(request, "", (root) => reflect(request, root), 0)];
}

function* places(message: DescMessage, prefix: string, open: Open, depth: number): Iterable<Place> {
  if (depth > deepest || message.typeName.startsWith("google.protobuf.")) return;
  for (const field of message.fields) {
    const path = prefix + field.name;
    const rules = getOption(field, fieldRules);
    if (field.fieldKind === "scalar")
      yield* scalarPlace(field.scalar, rules, path, (root, value) => open(root).set(field, value));
    if (field.fieldKind === "message")
      yield* places(field.message, `${path}.`, (root) => childOf(open(root), field), depth + 1);
    if (field.fieldKind === "list") yield* listPlaces(field, rules, { path, open, depth });
    if (field.fieldKind === "map") yield* mapPlaces(field, rules, { path, open });
  }
}

type Where = { path: string; open: Open; depth: number };

function* listPlaces(
  field: DescField & { fieldKind: "list" },
  rules: FieldRules,
  { path, open, depth }: Where,
): Iterable<Place> {
  const repeated = rules.type.case === "repeated" ? rules.type.value : undefined;
  const list = (root: Message) => open(root).get(field);
  const item = (index: number): unknown => {
    if (field.listKind === "message") return reflect(field.message, create(field.message));
    if (field.listKind === "enum") return field.enum.values[1]?.number;
    if (field.scalar === ScalarType.BYTES) return new Uint8Array(1);
    return field.scalar === ScalarType.STRING ? `v${index}` : 1;
  };
  const bound = repeated?.maxItems === undefined || repeated.maxItems === 0n ? undefined : Number(repeated.maxItems);
  yield many(path, bound, (root, size) => {
    for (let index = 0; index < size; index += 1) list(root).add(item(index));
  });
  if (field.listKind === "scalar")
    yield* scalarPlace(field.scalar, repeated?.items, path, (root, value) => list(root).add(value));
  if (field.listKind !== "message") return;
  const first: Open = (root) => {
    if (list(root).size === 0) list(root).add(item(0));
    return list(root).get(0) as ReflectMessage;
  };
  yield* places(field.message, `${path}.`, first, depth + 1);
}

function* mapPlaces(
  field: DescField & { fieldKind: "map" },
  rules: FieldRules,
  { path, open }: Omit<Where, "depth">,
): Iterable<Place> {
  const pairs = rules.type.case === "map" ? rules.type.value : undefined;
  const map = (root: Message) => open(root).get(field);
  const value = field.mapKind === "scalar" && field.scalar === ScalarType.STRING ? "v" : 1;
  const bound = pairs?.maxPairs === undefined || pairs.maxPairs === 0n ? undefined : Number(pairs.maxPairs);
  yield many(path, bound, (root, size) => {
    for (let index = 0; index < size; index += 1) map(root).set(`k${index}`, value);
  });
  yield* scalarPlace(field.mapKey, pairs?.keys, path, (root, key) => map(root).set(key, value));
  if (field.mapKind === "scalar")
    yield* scalarPlace(field.scalar, pairs?.values, path, (root, text) => map(root).set("key", text));
}

function* scalarPlace(
  scalar: ScalarType,
  rules: FieldRules | undefined,
  path: string,
  set: (root: Message, value: unknown) => void,
): Iterable<Place> {
  const encoder = new TextEncoder();
  if (scalar === ScalarType.STRING) {
    const fill = (root: Message, size: number) => set(root, "a".repeat(size));
    const pattern =
      rules?.type.case === "string" && rules.type.value.pattern !== "" ? rules.type.value.pattern : undefined;
    yield { path, kind: "string", bound: boundOf(rules), pattern, fill, put: set };
  }
  if (scalar === ScalarType.BYTES) {
    const fill = (root: Message, size: number) => set(root, new Uint8Array(size));
    yield { path, kind: "bytes", bound: boundOf(rules), fill, put: (root, text) => set(root, encoder.encode(text)) };
  }
}

function many(path: string, bound: number | undefined, fill: Place["fill"]): Place {
  return { path, kind: "many", bound, fill, put: () => undefined };
}

/** 0 counts as no bound, since nothing may hold nothing. */
function boundOf(rules: FieldRules | undefined): number | undefined {
  if (rules?.type.case !== "string" && rules?.type.case !== "bytes") return undefined;
  const { value } = rules.type;
  const lengths = "maxBytes" in value ? [value.maxLen, value.maxBytes, value.len] : [value.maxLen, value.len];
  const bound = lengths.find((one) => one > 0n);
  if (bound !== undefined) return Number(bound);
  if (value.in.length > 0) return beyondPattern;
  return value.pattern !== "" && !/[*+]|,\}/.test(value.pattern) ? beyondPattern : undefined;
}

function childOf(parent: ReflectMessage, field: DescField & { fieldKind: "message" }): ReflectMessage {
  if (!parent.isSet(field)) parent.set(field, reflect(field.message, create(field.message)));
  return parent.get(field);
}
