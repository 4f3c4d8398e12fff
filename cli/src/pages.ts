import type { Output } from "./output.ts";

interface Page<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string;
}

/** How many items a list shows unless `--limit` says otherwise. */
export const defaultListLimit = 1000;
const maximumPageSize = 1000;
/** A server that answers empty pages without end is not followed further. */
const maximumEmptyPages = 100;

/** Reads pages until `limit` items are there or none are left, and says so when some are. */
export async function readPages<T>(
  output: Output,
  limit: number | undefined,
  read: (page: { pageSize: number; pageToken: string }) => Promise<Page<T>>,
): Promise<readonly T[]> {
  const wanted = limit ?? defaultListLimit;
  const items: T[] = [];
  let pageToken = "";
  let emptyPages = 0;
  while (emptyPages < maximumEmptyPages && items.length < wanted) {
    const page = await read({ pageSize: Math.min(maximumPageSize, wanted - items.length), pageToken });
    emptyPages = page.items.length === 0 ? emptyPages + 1 : 0;
    items.push(...page.items.slice(0, wanted - items.length));
    pageToken = page.nextPageToken;
    if (pageToken === "") return items;
  }
  const shown = items.length === 1 ? "the first is" : `the first ${items.length} are`;
  await output.note(`only ${shown} shown: there are more, see --limit`, "warning");
  return items;
}
