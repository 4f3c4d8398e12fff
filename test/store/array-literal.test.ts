import { afterAll, expect, test } from "vitest";
import { toArrayLiteral } from "../../server/src/store/array-literal.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

test("texts come back from the database as they went, whatever is in them", async () => {
  const texts = ["", "plain", "null", "NULL", " spaced ", 'say "so"', "back\\slash", "{a,b}", "c,d", "žluť\n\t", "'"];
  const [row] = await database.sql<{ texts: string[] }[]>`select ${toArrayLiteral(texts)}::text[] as texts`;
  expect(row!.texts).toEqual(texts);
});

test("numbers, flags, nothing and none at all come back as they went", async () => {
  const [row] = await database.sql`
    select ${toArrayLiteral([1n, -2n])}::bigint[] as big, ${toArrayLiteral([true, false])}::boolean[] as flags,
      ${toArrayLiteral([0.5, -1, 1e21])}::float8[] as floats, ${toArrayLiteral([])}::text[] as none,
      (${toArrayLiteral(["null", null])}::text[])[2] is null as nothing`;
  expect(row).toEqual({
    big: [1n, -2n],
    flags: [true, false],
    floats: [0.5, -1, 1e21],
    none: [],
    nothing: true,
  });
});
