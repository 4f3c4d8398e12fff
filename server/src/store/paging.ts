import { invalidField } from "../domain/errors.ts";

/** A page that was asked for: its size, and where it starts (empty: at the beginning). */
export type Page = { size: number; token: string };

export const defaultPageSize = 100;

/** The page of a request; its size is bounded by the contract. */
export function toPage(request: { pageSize: number; pageToken: string }): Page {
  return { size: request.pageSize === 0 ? defaultPageSize : request.pageSize, token: request.pageToken };
}

/** A page token: opaque to clients, valid for lists of the same kind only. */
export function encodeCursor(kind: string, position: string): string {
  return Buffer.from(`${kind} ${position}`).toString("base64url");
}

/** The position in a token, or `undefined` where the token is empty. */
export function decodeCursor(token: string, kind: string): string | undefined {
  if (token === "") return undefined;
  const text = Buffer.from(token, "base64url").toString();
  if (!text.startsWith(`${kind} `) || text.includes("\0")) throw invalidField("page_token", "it is not of this list");
  const position = text.slice(kind.length + 1);
  if (kind !== "name" && !/^[0-9]{1,18}$/.test(position)) throw invalidField("page_token", "it is not of this list");
  return position;
}
