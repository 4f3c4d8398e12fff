import { create, ScalarType, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";

const deepest = 6;
/** Within what JSON can say of a time or a span. */
const seconds = 1_700_000_000n;

/**
 * A message with `text` in every field that holds text or bytes, however deep, two items in each list, and numbers that no enum knows;
 * of the fields that exclude each other, the one whose turn it is.
 */
export function hostileMessage(schema: DescMessage, text: string, turn: number): Message {
  return fill(schema, { text, turn, depth: 0 }).message;
}

type Filling = { text: string; turn: number; depth: number };

function fill(schema: DescMessage, filling: Filling): ReflectMessage {
  const message = reflect(schema, create(schema));
  if (schema.typeName === "google.protobuf.Timestamp" || schema.typeName === "google.protobuf.Duration") {
    message.set(schema.field["seconds"]!, seconds);
    return message;
  }
  const chosen = schema.oneofs.map(({ fields }) => fields[filling.turn % fields.length]);
  const fields = schema.fields.filter((field) => field.oneof === undefined || chosen.includes(field));
  for (const field of filling.depth > deepest ? [] : fields) setField(message, field, filling);
  return message;
}

function setField(message: ReflectMessage, field: DescField, filling: Filling): void {
  switch (field.fieldKind) {
    case "list": {
      const list = message.get(field);
      for (const _ of [1, 2]) list.add(itemOf(field, filling));
      return;
    }
    case "map":
      message.get(field).set(field.mapKey === ScalarType.STRING ? filling.text : 7, itemOf(field, filling));
      return;
    default:
      message.set(field, itemOf(field, filling));
  }
}

function itemOf(field: DescField, filling: Filling): unknown {
  if (field.message !== undefined) return fill(field.message, { ...filling, depth: filling.depth + 1 });
  return field.enum === undefined ? scalarOf(field.scalar ?? ScalarType.STRING, filling.text) : 99;
}

function scalarOf(scalar: ScalarType, text: string): unknown {
  switch (scalar) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BYTES:
      return new TextEncoder().encode(text);
    case ScalarType.BOOL:
      return true;
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return 3n;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
    case ScalarType.INT32:
    case ScalarType.UINT32:
    case ScalarType.SINT32:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return 3;
  }
}
