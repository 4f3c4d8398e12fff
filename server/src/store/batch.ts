import { toArrayLiteral } from "./array-literal.ts";

/*
 * What makes a statement over a batch of rows cheap: a column is one parameter, what rows have in common travels once for all of
 * them, and the answer is one row.
 */

/** One column of a batch, for `unnest`. */
export function column<T>(rows: readonly T[], value: (one: T) => string | number | bigint | boolean): string {
  return toArrayLiteral(rows.map(value));
}

/** Rows that have something in common: which, counted from 1 as PostgreSQL does, and one of them as an example. */
export type Group<T> = { first: number; last: number; one: T };

/** Brings rows together that have the same key. */
export function groupBy<T>(rows: readonly T[], keyOf: (row: T) => string): { rows: T[]; groups: Group<T>[] } {
  const byKey = new Map<string, T[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const alike = byKey.get(key);
    if (alike) alike.push(row);
    else byKey.set(key, [row]);
  }
  const groups: Group<T>[] = [];
  let last = 0;
  for (const alike of byKey.values()) {
    groups.push({ first: last + 1, last: last + alike.length, one: alike[0]! });
    last += alike.length;
  }
  return { rows: [...byKey.values()].flat(), groups };
}

/** What a batch answers, each column as one text: a row for each costs more to send and to read than to write. */
export type Answer<Column extends string> = Record<Column, string | null>;

/** The values of one column of an answer; none of them may have a blank. */
export function unpack(texts: string | null): string[] {
  return texts === null ? [] : texts.split(" ");
}
