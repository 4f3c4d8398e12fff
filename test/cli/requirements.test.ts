import { expect, test } from "vitest";
import {
  parseAmounts,
  parseInteger,
  parsePairs,
  parsePreference,
  parseRequirement,
} from "../../cli/src/requirements.ts";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";

test.each([
  ["region in (us,eu)", "region", Operator.IN, ["us", "eu"]],
  ["region IN ( us , eu )", "region", Operator.IN, ["us", "eu"]],
  ["region notin (us)", "region", Operator.NOT_IN, ["us"]],
  ["zone=a", "zone", Operator.IN, ["a"]],
  ["zone == a", "zone", Operator.IN, ["a"]],
  ["zone!=a", "zone", Operator.NOT_IN, ["a"]],
  ['zone=""', "zone", Operator.IN, [""]],
  ["gpu exists", "gpu", Operator.EXISTS, []],
  ["!gpu", "gpu", Operator.NOT_EXISTS, []],
  ["mem>16", "mem", Operator.GREATER, ["16"]],
  ["mem < -1.5", "mem", Operator.LESS, ["-1.5"]],
  ["agyn/os=linux", "agyn/os", Operator.IN, ["linux"]],
  [`site in ('New York', "a,b")`, "site", Operator.IN, ["New York", "a,b"]],
])("the requirement %s is understood", (text, key, operator, values) => {
  expect(parseRequirement(text)).toEqual({ key, operator, values });
});

test.each([
  ["", "is empty"],
  ["gpu", 'nothing follows the label "gpu"'],
  ["region in us", 'expected a list such as "(us,eu)", found "us" at position 11'],
  ["region in (us", 'expected "," or ")", found the end'],
  ["region in ()", 'expected a value, found ")" at position 12'],
  ["region in (us) x", "expected the end; one requirement a flag"],
  ["zone=", "expected a value"],
  ["mem>lots", 'expected a decimal number, found "lots" at position 5'],
  ["=a", `expected a label's key, found "=" at position 1`],
  ["zone like a", 'expected one of in, notin, exists, =, !=, > or < after the label, found "like" at position 6'],
  ["zone='a", "the quote at position 6 is not closed"],
  ["!", "expected a label's key, found the end"],
])('the requirement "%s" is refused with place and expectation', (text, fault) => {
  expect(() => parseRequirement(text)).toThrow(fault);
});

test("a preference is a requirement with a weight, 1 unless given", () => {
  const requirement = { key: "zone", operator: Operator.IN, values: ["a"] };
  expect(parsePreference("zone=a:10")).toEqual({ requirement, weight: 10 });
  expect(parsePreference("zone=a")).toEqual({ requirement, weight: 1 });
  expect(parsePreference("gpu exists:-5")).toMatchObject({ weight: -5 });
  expect(() => parsePreference("zone=a:101")).toThrow("the weight 101 is not within -100 to 100");
});

test("pairs keep everything behind the first equals sign, and each key comes once", () => {
  expect(parsePairs("label", ["a=b=c", "d="])).toEqual({ a: "b=c", d: "" });
  expect(() => parsePairs("label", ["a"])).toThrow('label "a": write it like key=value');
  expect(() => parsePairs("label", ["a=1", "a=2"])).toThrow('label "a" is given twice');
});

test("a pair named __proto__ is a key like any other", () => {
  const pairs = parsePairs("label", ["__proto__=x"]);
  expect(Object.entries(pairs)).toEqual([["__proto__", "x"]]);
});

test("amounts and integers are numbers within their bounds", () => {
  expect(parseAmounts(["cpu=2", "mem=0.5"])).toEqual({ cpu: 2, mem: 0.5 });
  expect(() => parseAmounts(["cpu=two"])).toThrow('resource "cpu": "two" is no amount');
  expect(parseInteger("tail", 1, 10)("10")).toBe(10);
  expect(() => parseInteger("tail", 1, 10)("11")).toThrow('tail "11" is not a whole number from 1 to 10');
});
