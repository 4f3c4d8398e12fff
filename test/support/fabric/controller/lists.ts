import { matches } from "../access.ts";
import { parseFilter } from "./filter.ts";
import { ApiError, invalidField, type Answer, type Call } from "./http.ts";

/** The query parameters of every list. */
export const listQuery = ["limit", "offset", "filter"];

/** Those of lists of what has attributes. */
export const roleQuery = [...listQuery, "roleFilter", "roleSemantic"];

/** What every record can be filtered and sorted by. */
const commonSymbols = ["id", "name", "createdAt", "updatedAt", "tags"];

const defaultLimit = 10;
const maxLimit = 500;

/** A page of `rows`, as the call filters, sorts and pages; `symbols` are the fields that it may name. */
export function listAnswer(call: Call, rows: readonly object[], symbols: readonly string[] = []): Answer {
  const known = [...commonSymbols, ...symbols];
  const filter = parseFilter(call.query.get("filter") ?? "", new Set(known));
  const found = rows.filter((row) => filter.matches(row) && hasRoles(call, row)).toSorted(filter.compare);

  const offset = filter.skip ?? numberIn(call, "offset", 0);
  const limit = filter.limit ?? numberIn(call, "limit", defaultLimit);
  if (limit === "none") return page(found, { offset, limit: found.length }, known);
  if (limit > maxLimit || limit === 0) throw invalidField("limit", `must be 1 to ${maxLimit}`, limit);
  return page(found, { offset, limit }, known);
}

function page(
  found: readonly object[],
  { offset, limit }: { readonly offset: number; readonly limit: number },
  filterableFields: readonly string[],
): Answer {
  const pagination = { limit, offset, totalCount: found.length };
  return { status: 200, data: found.slice(offset, offset + limit), meta: { filterableFields, pagination } };
}

function hasRoles({ query }: Call, row: object): boolean {
  const roles = query.getAll("roleFilter");
  if (roles.length === 0) return true;
  const semantic = query.get("roleSemantic") ?? "AllOf";
  if (semantic !== "AllOf" && semantic !== "AnyOf")
    throw invalidField("roleSemantic", "must be AllOf or AnyOf", semantic);
  return matches(roles, semantic, row as { readonly id: string; readonly roleAttributes?: readonly string[] });
}

function numberIn({ query }: Call, key: string, otherwise: number): number {
  const text = query.get(key);
  if (text === null) return otherwise;
  if (!/^\d{1,9}$/.test(text))
    throw new ApiError(400, "COULD_NOT_VALIDATE", `${key} is no number`, { violation: true });
  return Number(text);
}
