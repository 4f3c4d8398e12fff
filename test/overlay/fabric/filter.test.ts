import { expect, test } from "vitest";
import { parseFilter } from "../../support/fabric/controller/filter.ts";

const symbols = new Set(["name", "cost", "roleAttributes", "createdAt", "tags", "externalId"]);
const rows = [
  {
    name: "ann",
    cost: 1,
    roleAttributes: ["runner", "blue"],
    createdAt: new Date("2026-01-01"),
    tags: { owner: "agyn" },
  },
  { name: "Bob", cost: 5, roleAttributes: [], createdAt: new Date("2026-02-01"), tags: {}, externalId: "spiffe://b" },
  { name: 'c"\\', cost: 9, roleAttributes: ["runner"], createdAt: new Date("2026-03-01"), tags: { owner: "you" } },
];

test.each<[string, string[]]>([
  ["", ["ann", "Bob", 'c"\\']],
  ["true", ["ann", "Bob", 'c"\\']],
  ['name="ann"', ["ann"]],
  ['name = "c\\"\\\\"', ['c"\\']],
  ['name != "ann"', ["Bob", 'c"\\']],
  ['name contains "o"', ["Bob"]],
  ['name icontains "B"', ["Bob"]],
  ['name in ["ann", "Bob"]', ["ann", "Bob"]],
  ['name not in ["ann"]', ["Bob", 'c"\\']],
  ["cost between 1 and 9", ["ann", "Bob"]],
  ["cost >= 5", ["Bob", 'c"\\']],
  ['anyOf(roleAttributes) = "runner"', ["ann", 'c"\\']],
  ['allOf(roleAttributes) = "runner"', ["Bob", 'c"\\']],
  ["count(roleAttributes) > 1", ["ann"]],
  ["isEmpty(roleAttributes)", ["Bob"]],
  ["not isEmpty(roleAttributes) and cost < 9", ["ann"]],
  ['(name="ann" or name="Bob") and not (cost = 5)', ["ann"]],
  ['name="ann" or name="Bob" and cost = 1', ["ann"]],
  ['tags.owner = "agyn"', ["ann"]],
  ["externalId != null", ["Bob"]],
  ["createdAt > datetime(2026-01-15T00:00:00Z)", ["Bob", 'c"\\']],
  ["sort by cost desc", ['c"\\', "Bob", "ann"]],
])("%s finds what it says", (text, expected) => {
  const filter = parseFilter(text, symbols);
  const found = rows.filter((row) => filter.matches(row)).toSorted(filter.compare);
  expect(found.map(({ name }) => name)).toEqual(expected);
});

test("skip and limit follow the order", () => {
  expect(parseFilter('name contains "a" sort by name asc, cost skip 2 limit 5', symbols)).toMatchObject({
    skip: 2,
    limit: 5,
  });
  expect(parseFilter("limit none", symbols)).toMatchObject({ limit: "none" });
});

test.each([
  ['name="a', "cannot be read"],
  ['name="\\x"', "no escape"],
  ["name1=1", "a value is expected"],
  ['nome="a"', "unknown symbol nome"],
  ["name ~ 1", "cannot be read"],
  ['name="a" name="b"', "nothing is expected"],
  ["createdAt > datetime(yesterday)", "no time"],
  ["(name=1", ") is expected"],
  ["limit -1", "no count"],
  [`${"(".repeat(60)}true`, "too deeply"],
])("%s is refused: %s", (text, why) => {
  expect(() => parseFilter(text, symbols)).toThrow(why);
});

test("a set is compared by the functions for sets only", () => {
  expect(() => rows.filter(parseFilter('roleAttributes = "runner"', symbols).matches)).toThrow("is a set");
});
