import { toArrayLiteral } from "./array-literal.ts";
import type { SqlOrTransaction } from "./database.ts";

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

type Type = "text" | "int" | "bigint" | "boolean" | "json" | "jsonb" | "bytea";

/** Expressions for values that rows of one kind share, in a query whose column `kind` says which it is. */
export function kindColumn<T>(sql: SqlOrTransaction, { kinds }: Kinds<T>) {
  return (value: (one: T) => string | number | bigint | boolean | null, type: Type = "text") =>
    sql`(${column(kinds, value)}::${sql.unsafe(type)}[])[kind]`;
}

/** What a batch answers, each column as one text: a row for each costs more to send and to read than to write. */
export type Answer<Column extends string> = Record<Column, string | null>;

/** The values of one column of an answer; none of them may have a blank. */
export function unpack(texts: string | null): string[] {
  return texts === null ? [] : texts.split(" ");
}
