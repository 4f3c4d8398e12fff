/* Fields of a payload that anybody may have written: what is not of the expected kind is as if it were not there. */

/** Longer texts are cut: nothing that is filtered or shown is longer. */
const textLimit = 4096;

/** The member at a dotted path; only own members count. */
export function fieldOf(value: unknown, path: string): unknown {
  let found = value;
  for (const name of path.split(".")) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

/** A text that the database can hold; empty where there is none. */
export function textOf(value: unknown, path: string): string {
  const found = fieldOf(value, path);
  return typeof found === "string" ? clean(found).slice(0, textLimit).toWellFormed() : "";
}

/** The whole number, 0 or more, at a path such as `issue.number`; 0 where there is none. */
export function numberOf(value: unknown, path: string): number {
  const found = fieldOf(value, path);
  return typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? found : 0;
}

/** The list at a path; empty where there is none. */
export function listOf(value: unknown, path: string): readonly unknown[] {
  const found = fieldOf(value, path);
  return Array.isArray(found) ? found : [];
}

/** A payload that the database can hold: its texts, and the names of its members, without NUL and halves of characters. */
export function cleanJson(value: unknown): unknown {
  if (typeof value === "string") return clean(value);
  if (Array.isArray(value)) return value.map(cleanJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [clean(name), cleanJson(member)]));
}

function clean(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}
