import { ApiError, invalidField, type Answer, type Call } from "./http.ts";

/** The query parameters of every list. */
export const listQuery = ["limit", "offset", "filter"];

const defaultLimit = 10;
const maxLimit = 500;

/** A page of `rows`, with what the call asked for. */
export function listAnswer(call: Call, rows: readonly object[]): Answer {
  const limit = numberIn(call, "limit", defaultLimit);
  const offset = numberIn(call, "offset", 0);
  if (limit > maxLimit || limit === 0) throw invalidField("limit", `must be 1 to ${maxLimit}`, limit);
  const pagination = { limit, offset, totalCount: rows.length };
  return { status: 200, data: rows.slice(offset, offset + limit), meta: { filterableFields: [], pagination } };
}

function numberIn({ query }: Call, key: string, otherwise: number): number {
  const text = query.get(key);
  if (text === null) return otherwise;
  if (!/^\d{1,9}$/.test(text))
    throw new ApiError(400, "COULD_NOT_VALIDATE", `${key} is no number`, { violation: true });
  return Number(text);
}
