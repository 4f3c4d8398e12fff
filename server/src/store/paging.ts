import { invalidField } from "../domain/errors.ts";

/** A page that was asked for: its size, and where it starts (empty: at the beginning). */
export type Page = { size: number; token: string };

/** Where a request leaves it open. */
export const defaultPageSize = 100;

/** The lists that page, and whether their order is by text or by a whole number. */
const positions = {
  organization: "text",
  member: "text",
  user: "text",
  runner: "text",
  access_token: "number",
  audit_event: "number",
  workload: "number",
  project: "text",
  run: "number",
  job: "number",
  queue: "text",
  trigger: "text",
  delivery: "number",
  trigger_token: "number",
  webhook: "text",
  webhook_delivery: "number",
  artifact: "number",
  secret: "text",
} as const;

type CursorKind = keyof typeof positions;

/** The page of a request; its size is bounded by the contract. */
export function toPage(request: { pageSize: number; pageToken: string }): Page {
  return { size: request.pageSize === 0 ? defaultPageSize : request.pageSize, token: request.pageToken };
}

/** A page token: opaque to clients, valid for lists of the same kind only. */
function encodeCursor(kind: CursorKind, position: string): string {
  return Buffer.from(`${kind} ${position}`).toString("base64url");
}

/** The position in a token, or `undefined` where the token is empty. */
export function decodeCursor(token: string, kind: CursorKind): string | undefined {
  if (token === "") return undefined;
  const text = Buffer.from(token, "base64url").toString();
  const position = text.slice(kind.length + 1);
  const isPosition = positions[kind] === "text" ? !position.includes("\0") : /^[0-9]{1,18}$/.test(position);
  if (!text.startsWith(`${kind} `) || !isPosition) throw invalidField("page_token", "it is not of this list");
  return position;
}

/** One page of rows that were read with one more than its size, and the token of the next; `position` is where a row stands in the list. */
export function cut<T>(
  kind: CursorKind,
  rows: readonly T[],
  page: Page,
  position: (row: T) => string,
): { rows: T[]; nextToken: string } {
  const kept = rows.slice(0, page.size);
  const last = rows.length > page.size ? kept.at(-1) : undefined;
  return { rows: kept, nextToken: last === undefined ? "" : encodeCursor(kind, position(last)) };
}
