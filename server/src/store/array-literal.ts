const bare = /^[A-Za-z0-9_.:+/=-]+$/;
const escaped = /["\\]/g;

/**
 * Values as one PostgreSQL array in text, for a parameter that is cast to an array type. The driver would make the same
 * of an array, but quotes and escapes each value, which costs more than the rest of a batch's way to the database.
 */
export function toArrayLiteral(values: readonly (string | number | bigint | boolean | null)[]): string {
  const elements = values.map((value) => (typeof value === "string" ? toElement(value) : String(value)));
  return `{${elements.join(",")}}`;
}

/** Unquoted, the word NULL would be no text. */
function toElement(value: string): string {
  if (bare.test(value) && !(value.length === 4 && value.toUpperCase() === "NULL")) return value;
  return `"${value.replace(escaped, "\\$&")}"`;
}
