import { toArrayLiteral } from "./array-literal.ts";

/*
 * What makes a statement over a batch of rows cheap: a column is one parameter, what rows have in common travels and is parsed once
 * for all of them, and the answer is one row.
 */

/** One column of a batch, for `unnest`. */
export function column<T>(rows: readonly T[], value: (one: T) => string | number | bigint | boolean | null): string {
  return toArrayLiteral(rows.map(value));
}

/** The different ones among rows, and of each row which of them it is, counted from 1 as PostgreSQL does. */
export type Kinds<T> = { kinds: T[]; kindOf: number[] };

/** Two rows are of one kind where their keys are equal. */
export function kindsOf<T>(rows: readonly T[], keyOf: (row: T) => string): Kinds<T> {
  const kinds: T[] = [];
  const numbers = new Map<string, number>();
  const kindOf = rows.map((row) => {
    const key = keyOf(row);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, kinds.push(row));
    return kinds.length;
  });
  return { kinds, kindOf };
}

/**
 * A value that rows of one kind share, for `(${of(…)}::text[])[kind]` in a query whose column `kind` says of which kind a row is. It is
 * written out in each place: a fragment of SQL is an object of the driver's that the collection of young garbage never takes, nor what
 * hangs on it.
 */
export function kindColumn<T>({ kinds }: Kinds<T>) {
  return (value: (one: T) => string | number | bigint | boolean | null) => column(kinds, value);
}

/** What a batch answers, each column as one text: a row for each costs more to send and to read than to write. */
export type Answer<Column extends string> = Record<Column, string | null>;

/** The values of one column of an answer; none of them may have a blank. */
export function unpack(texts: string | null): string[] {
  return texts === null ? [] : texts.split(" ");
}
