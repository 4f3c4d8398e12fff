import { describe, expect, test } from "vitest";
import { compareDecimals } from "../../server/src/domain/decimal.ts";
import { type Demand, meetsRequirement, type Operator, requirementText } from "../../server/src/domain/demand.ts";
import { createFleetIndex } from "../../server/src/domain/fleet-index.ts";
import {
  declaredButNotFound,
  effectiveCapabilities,
  effectiveLabels,
  type Runner,
} from "../../server/src/domain/runner.ts";
import { rules, standingOf, unmetOf } from "../../server/src/domain/selection.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { demandOf, nobody, runnerOf } from "./selection-world.ts";

const needs = (key: string, operator: Operator, ...values: string[]) => ({ key, operator, values });

test.each<[Operator, string | undefined, string[], boolean]>([
  ["in", "eu", ["us", "eu"], true],
  ["in", "ap", ["us", "eu"], false],
  ["in", undefined, [""], false],
  ["not_in", "eu", ["us", "eu"], false],
  ["not_in", undefined, ["us"], true],
  ["exists", "", [], true],
  ["exists", undefined, [], false],
  ["not_exists", undefined, [], true],
  ["not_exists", "", [], false],
  ["greater", "16.5", ["16"], true],
  ["greater", "16", ["16"], false],
  ["greater", "many", ["4"], false],
  ["greater", undefined, ["-1"], false],
  ["greater", "5", [], false],
  ["less", "-2", ["-1"], true],
  ["less", "", ["4"], false],
])("%s on %j with %j is %j", (operator, value, values, meets) => {
  expect(meetsRequirement(value, needs("key", operator, ...values))).toBe(meets);
});

test("requirements read as people write them, and long lists are cut short", () => {
  const texts = [
    needs("region", "in", "us", "eu"),
    needs("agyn/cpus", "greater", "4"),
    needs("gpu", "not_exists"),
    needs("n", "not_in", ..."abcdefghijk"),
  ].map(requirementText);

  expect(texts).toEqual([
    "region in (us, eu)",
    "agyn/cpus > 4",
    "gpu does not exist",
    "n not in (a, b, c, d, e, f, g, h, and 3 more)",
  ]);
});

const gpuBox = { declaredCapabilities: ["gpu"], foundCapabilities: ["gpu"] };

test.each<{ rule: string; runner: Partial<Runner>; demand: Partial<Demand>; standing: string }>([
  { rule: "scope", runner: { scope: { kind: "organization", organizationId: "*" } }, demand: {}, standing: "never" },
  { rule: "ready", runner: { status: "pending" }, demand: {}, standing: "unavailable" },
  { rule: "ready", runner: { status: "offline" }, demand: {}, standing: "unavailable" },
  { rule: "ready", runner: { availability: "paused" }, demand: {}, standing: "unavailable" },
  { rule: "ready", runner: { availability: "draining" }, demand: {}, standing: "unavailable" },
  { rule: "ready", runner: { availability: "locked" }, demand: {}, standing: "unavailable" },
  { rule: "labels", runner: {}, demand: { requirements: [needs("tier", "exists")] }, standing: "never" },
  { rule: "capabilities", runner: gpuBox, demand: { capabilities: ["gpu", "docker"] }, standing: "never" },
  { rule: "executor", runner: {}, demand: { executor: "container" }, standing: "never" },
  { rule: "capacity", runner: {}, demand: { resources: new Map([["slots", 2]]) }, standing: "never" },
  {
    rule: "capacity",
    runner: { capacity: new Map([["slots", 3]]) },
    demand: { resources: new Map([["slots", 2]]) },
    standing: "full",
  },
  { rule: "exclusion", runner: { id: "excluded" }, demand: {}, standing: "unavailable" },
])("only the rule $rule fails a runner that is $standing", ({ rule, runner, demand, standing }) => {
  const member = {
    runner: runnerOf({ id: "rnr_1", ...runner }),
    used: new Map([["slots", standing === "full" ? 2 : 0]]),
  };
  const candidate = { member, excluded: runner.id === "excluded" };

  const failing = rules.filter(({ check }) => check(demandOf(demand), candidate).length > 0);

  expect(failing.map(({ name }) => name)).toEqual([rule]);
  expect(standingOf(unmetOf(demandOf(demand), candidate))).toBe(standing);
});

test("a detectable capability counts when declared and found, any other when declared", () => {
  const runner = runnerOf({
    id: "rnr_1",
    declaredCapabilities: ["docker", "git", "licence"],
    foundCapabilities: ["git", "gpu"],
  });

  expect(effectiveCapabilities(runner)).toEqual(["git", "licence"]);
  expect(declaredButNotFound(runner)).toEqual(["docker"]);
});

test.each([
  ["code", ["code"], true],
  ["code", ["code:rust"], true],
  ["code", ["agent:code"], true],
  ["code", ["agent:code:rust"], true],
  ["code:rust", ["code:rust"], true],
  ["code:rust", ["agent:code:rust"], true],
  ["agent:code", ["agent:code"], true],
  ["code:rust", ["code"], false],
  ["code:rust", ["code:rusty"], false],
  ["code", ["codes", "decode", "codes:code"], false],
  ["rust", ["code:rust"], false],
  ["agent:code", ["code"], false],
  ["docker", ["docker:27"], false],
])("a demand for %s is met by a runner that declares %j: %j", (wanted, declaredCapabilities, meets) => {
  const runner = runnerOf({ id: "rnr_1", declaredCapabilities });
  const candidate = { member: { runner, used: new Map() }, excluded: false };

  expect(unmetOf(demandOf({ capabilities: [wanted] }), candidate)).toHaveLength(meets ? 0 : 1);
  expect(effectiveCapabilities(runner).includes(wanted)).toBe(meets);
});

test("bad-09: a runner grants itself no label, and an operator forges no reported one", () => {
  const declared = new Map([
    ["region", "eu"],
    ["agyn/os", "forged"],
  ]);
  const reported = new Map([
    ["region", "us"],
    ["agyn/os", "linux"],
    ["agynx/os", "x"],
  ]);

  expect(effectiveLabels(declared, reported)).toEqual(
    new Map([
      ["region", "eu"],
      ["agyn/os", "linux"],
    ]),
  );
});

describe("the index answers odd inputs as the rules do", () => {
  const pick = (runner: Partial<Runner>, demand: Partial<Demand>) => {
    const index = createFleetIndex();
    index.upsert(runnerOf({ id: "rnr_1", ...runner }));
    const picked = index.pick(demandOf(demand), nobody, seededRandom(1));
    return picked.kind === "picked" ? "picked" : picked.verdict;
  };

  test("bad-25: a demand above every total is never met, however idle the runners are", () => {
    expect(pick({ capacity: new Map([["slots", 8]]) }, { resources: new Map([["slots", 9]]) })).toBe("never");
    expect(
      pick(
        {},
        {
          resources: new Map([
            ["slots", 1],
            ["gpu", 1],
          ]),
        },
      ),
    ).toBe("never");
    expect(pick({}, { resources: new Map([["slots", Number.NaN]]) })).toBe("never");
  });

  test("a demand for no slot fits on a full runner", () => {
    expect(pick({ capacity: new Map() }, { resources: new Map([["slots", 0]]) })).toBe("picked");
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "bad-26: %s is a name like any other for labels, capabilities, executors and resources",
    (name) => {
      const resources = new Map([
        ["slots", 1],
        [name, 1],
      ]);
      const demand = { requirements: [needs(name, "in", name)], capabilities: [name], executor: name, resources };
      const requirements = [needs(name, "exists")];

      expect(pick({}, { requirements })).toBe("never");
      expect(pick({}, { capabilities: [name] })).toBe("never");
      expect(pick({}, { executor: name })).toBe("never");
      expect(pick({}, { resources })).toBe("never");
      const labels = new Map([[name, name]]);
      expect(pick({ labels, declaredCapabilities: [name], executors: [name], capacity: resources }, demand)).toBe(
        "picked",
      );
    },
  );

  test("bad-29: numbers beyond a double's precision compare exactly, and odd ones compare as nothing", () => {
    expect(compareDecimals("9007199254740993", "9007199254740992")).toBe(1);
    expect(compareDecimals("-0", "0.000")).toBe(0);
    expect(compareDecimals("0010.50", "10.5")).toBe(0);
    expect(compareDecimals("-10", "-9")).toBe(-1);
    for (const text of ["NaN", "Infinity", "1e9", "0x10", "", " 1", ".5", "5.", "-", "1.2.3", "٣"]) {
      expect(compareDecimals(text, "1")).toBeUndefined();
    }
  });

  test("bad-29: a preference whose weight is no finite number prefers nothing", () => {
    const preferences = [Number.NaN, Infinity, -0].map((weight) => ({ requirement: needs("tier", "exists"), weight }));

    expect(pick({ labels: new Map([["tier", "1"]]) }, { preferences })).toBe("picked");
  });

  test("bad-33: a pattern is a literal value, and a list of 10^5 terms is answered in a moment", () => {
    const labels = new Map([["name", `${"a".repeat(50_000)}!`]]);
    const terms = Array.from({ length: 100_000 }, (_, number) => `term-${number}`);
    const start = performance.now();

    expect(pick({ labels }, { requirements: [needs("name", "in", "(a+)+$", ".*")] })).toBe("never");
    expect(pick({ labels }, { requirements: [needs("name", "in", ...terms)] })).toBe("never");
    expect(pick({ labels }, { requirements: [needs("name", "not_in", ...terms)] })).toBe("picked");
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  test("bad-34: names match whole, and a wildcard is no organization", () => {
    const job10 = { labels: new Map([["job", "job-10"]]), declaredCapabilities: ["gpu-2"] };

    expect(pick(job10, { requirements: [needs("job", "in", "job-1")] })).toBe("never");
    expect(pick(job10, { capabilities: ["gpu"] })).toBe("never");
    expect(pick({}, { organizationId: "acme-2" })).toBe("never");
    expect(pick({}, { organizationId: "*" })).toBe("never");
  });
});
