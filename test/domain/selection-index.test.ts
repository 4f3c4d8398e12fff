import fc from "fast-check";
import { expect, test } from "vitest";
import { type Demand, preferenceScore } from "../../server/src/domain/demand.ts";
import { explain } from "../../server/src/domain/explanation.ts";
import { createFleetIndex, type FleetIndex, type Resources } from "../../server/src/domain/fleet-index.ts";
import type { Runner } from "../../server/src/domain/runner.ts";
import { isEligible } from "../../server/src/domain/selection.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { demandOf, nobody, runnerOf, someDemand, someResources, someRunner } from "./selection-world.ts";

type Step =
  | { kind: "upsert"; runner: Runner }
  | { kind: "remove"; id: string }
  | { kind: "reserve" | "release"; id: string; resources: Resources }
  | { kind: "pick"; demand: number; excluded: string[] };

const ids = fc.integer({ min: 0, max: 59 }).map((number) => `rnr_${number}`);

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("upsert" as const), runner: someRunner(ids) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), id: ids }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constantFrom("reserve", "release"), id: ids, resources: someResources(2) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("pick" as const),
        demand: fc.nat(3),
        excluded: fc.array(ids, { maxLength: 3 }),
      }),
    },
  ),
  { minLength: 30, maxLength: 150 },
);

test("I8: a pick is one of the best that the rules and Explain call eligible, through any history of the fleet", () => {
  const someDemands = fc.array(someDemand, { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(steps, someDemands, fc.nat(), (history, demands, seed) => {
      const index = createFleetIndex();
      const random = seededRandom(seed);
      for (const step of history) {
        if (step.kind === "pick") checkPick(index, demands[step.demand] as Demand, new Set(step.excluded), random);
        else take(index, step);
      }
      for (const demand of demands) checkPick(index, demand, nobody, random);
    }),
    { numRuns: 400 },
  );
});

function take(index: FleetIndex, step: Exclude<Step, { kind: "pick" }>): void {
  if (step.kind === "upsert") index.upsert(step.runner);
  else if (step.kind === "remove") index.remove(step.id);
  else index[step.kind](step.id, step.resources);
}

function checkPick(
  index: FleetIndex,
  demand: Demand,
  excluded: ReadonlySet<string>,
  random: (bound: number) => number,
): void {
  const passing = index
    .members()
    .filter((member) => isEligible(demand, { member, excluded: excluded.has(member.runner.id) }))
    .map(({ runner }) => ({ id: runner.id, score: preferenceScore(runner.labels, demand.preferences) }));
  const bestScore = Math.max(...passing.map(({ score }) => score));
  const best = passing.filter(({ score }) => score === bestScore).map(({ id }) => id);
  const viewerOrganizationId = demand.organizationId;
  const explanation = explain(index.members(), demand, { excluded, viewerOrganizationId, limit: 10 });

  const picked = index.pick(demand, excluded, random);

  expect([...explanation.eligibleRunnerIds].sort()).toEqual(passing.map(({ id }) => id).sort());
  if (picked.kind === "picked") expect(best).toContain(picked.runnerId);
  else expect(picked.verdict).toBe(explanation.verdict);
}

test.each([
  { name: "among all that fit", preferences: [], excluded: nobody, fitting: 100 },
  {
    name: "among those left when some are excluded",
    preferences: [],
    excluded: new Set(["rnr_0", "rnr_57"]),
    fitting: 99,
  },
  {
    name: "among the best preferred",
    preferences: [{ requirement: { key: "tier", operator: "exists", values: [] } as const, weight: 2 }],
    excluded: nobody,
    fitting: 20,
  },
])("a pick is uniform $name (chi-square)", ({ preferences, excluded, fitting }) => {
  const index = createFleetIndex();
  for (let number = 0; number < 5_000; number++) {
    const labels = new Map([["pool", number % 50 === 7 ? "a" : "b"]]);
    if (number % 250 === 7) labels.set("tier", "1");
    index.upsert(runnerOf({ id: `rnr_${number}`, labels }));
  }
  const demand = demandOf({ requirements: [{ key: "pool", operator: "in", values: ["a"] }], preferences });
  const random = seededRandom(7);
  const draws = fitting * 500;

  const seen = new Map<string, number>();
  for (let draw = 0; draw < draws; draw++) {
    const picked = index.pick(demand, excluded, random);
    const id = picked.kind === "picked" ? picked.runnerId : picked.verdict;
    seen.set(id, (seen.get(id) ?? 0) + 1);
  }

  const chiSquare = [...seen.values()].reduce((sum, count) => sum + (count - 500) ** 2 / 500, 0);
  const freedom = fitting - 1;
  expect(seen.size).toBe(fitting);
  expect(chiSquare).toBeLessThan(freedom + 4 * Math.sqrt(2 * freedom));
});

test.each([
  { name: "of many, by drawing slots", oneIn: 20, fitting: 100 },
  { name: "of few, by asking each", oneIn: 100, fitting: 20 },
])("a pick for a demand that was never met before is uniform: $name (chi-square)", ({ oneIn, fitting }) => {
  const index = createFleetIndex();
  for (let number = 0; number < 2_000; number++) {
    index.upsert(runnerOf({ id: `rnr_${number}`, labels: new Map([["pool", String(number % oneIn)]]) }));
  }
  const random = seededRandom(3);

  const seen = new Map<string, number>();
  for (let draw = 0; draw < fitting * 200; draw++) {
    const pool = { key: "pool", operator: "in" as const, values: ["7"] };
    const own = { key: `never-${draw}`, operator: "not_exists" as const, values: [] };
    const picked = index.pick(demandOf({ requirements: [pool, own] }), nobody, random);
    const id = picked.kind === "picked" ? picked.runnerId : picked.verdict;
    seen.set(id, (seen.get(id) ?? 0) + 1);
  }

  const chiSquare = [...seen.values()].reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0);
  expect(seen.size).toBe(fitting);
  expect(chiSquare).toBeLessThan(fitting + 4 * Math.sqrt(2 * fitting));
});

test("a shape follows any number of changes, new runners and amounts between two picks", () => {
  const index = createFleetIndex();
  const demand = demandOf({ resources: new Map([["slots", 7]]) });
  const eightSlots = (number: number) => runnerOf({ id: `rnr_${number}`, capacity: new Map([["slots", 8]]) });
  for (let number = 0; number < 100; number++) index.upsert(eightSlots(number));
  for (let turn = 0; turn < 3; turn++) index.pick(demand, nobody, seededRandom(turn));

  for (let amount = 1; amount <= 40; amount++) {
    for (let turn = 0; turn < 2; turn++) {
      index.pick(demandOf({ resources: new Map([["slots", 8 + amount]]) }), nobody, seededRandom(1));
    }
  }
  for (let number = 0; number < 100; number++) index.reserve(`rnr_${number}`, new Map([["slots", 2]]));
  const afterFew = index.pick(demand, nobody, seededRandom(1));
  for (let number = 100; number < 1_000; number++) index.upsert(eightSlots(number));
  for (let number = 0; number < 999; number++) index.remove(`rnr_${number}`);
  const afterMany = index.pick(demand, nobody, seededRandom(1));

  expect(afterFew).toEqual({ kind: "none", verdict: "full" });
  expect(afterMany).toEqual({ kind: "picked", runnerId: "rnr_999" });
});

test("a pick that is reserved each time fills every runner to its slots, and then says full", () => {
  const index = createFleetIndex();
  for (let number = 0; number < 300; number++) {
    index.upsert(runnerOf({ id: `rnr_${number}`, capacity: new Map([["slots", 1 + (number % 4)]]) }));
  }
  const demand = demandOf();
  const random = seededRandom(1);

  let placed = 0;
  let picked = index.pick(demand, nobody, random);
  for (; picked.kind === "picked"; picked = index.pick(demand, nobody, random)) {
    index.reserve(picked.runnerId, demand.resources);
    placed++;
  }

  expect(placed).toBe(750);
  expect(picked.verdict).toBe("full");
  index.release("rnr_9", demand.resources);
  expect(index.pick(demand, nobody, random)).toEqual({ kind: "picked", runnerId: "rnr_9" });
});

test("what a runner uses survives changes to its record, and goes when the runner is removed", () => {
  const index = createFleetIndex();
  index.reserve("rnr_1", new Map([["slots", 2]]));
  index.upsert(runnerOf({ id: "rnr_1", capacity: new Map([["slots", 2]]) }));

  index.upsert(runnerOf({ id: "rnr_1", name: "renamed", capacity: new Map([["slots", 3]]) }));

  expect(index.usedOf("rnr_1")).toEqual(new Map([["slots", 2]]));
  expect(index.get("rnr_1")?.name).toBe("renamed");
  expect(index.pick(demandOf({ resources: new Map([["slots", 2]]) }), nobody, seededRandom(1)).kind).toBe("none");
  index.setUsed("rnr_1", new Map([["slots", 1]]));
  expect(index.pick(demandOf({ resources: new Map([["slots", 2]]) }), nobody, seededRandom(1)).kind).toBe("picked");
  index.remove("rnr_1");
  expect([index.usedOf("rnr_1").size, index.size(), index.get("rnr_1")]).toEqual([0, 0, undefined]);
});

test("fractions of a resource add up and back to nothing", () => {
  const index = createFleetIndex();
  index.upsert(
    runnerOf({
      id: "rnr_1",
      capacity: new Map([
        ["slots", 9],
        ["cpu", 0.3],
      ]),
    }),
  );
  const tenths = [0.1, 0.2].map((cpu) =>
    demandOf({
      resources: new Map([
        ["slots", 1],
        ["cpu", cpu],
      ]),
    }),
  );

  for (const demand of tenths) {
    expect(index.pick(demand, nobody, seededRandom(1)).kind).toBe("picked");
    index.reserve("rnr_1", demand.resources);
  }
  for (const demand of tenths) index.release("rnr_1", demand.resources);

  expect(index.usedOf("rnr_1").get("cpu")).toBe(0);
});

test("more preference levels than are kept apart are still picked in order, as each runner fills", () => {
  const index = createFleetIndex();
  const preferences = [1, 2, 4, 8, 16].map((weight) => ({
    requirement: { key: `bit-${weight}`, operator: "exists" as const, values: [] },
    weight,
  }));
  for (let number = 0; number < 32; number++) {
    const bits = [1, 2, 4, 8, 16].filter((weight) => (number & weight) !== 0);
    index.upsert(runnerOf({ id: `rnr_${number}`, labels: new Map(bits.map((weight) => [`bit-${weight}`, "1"])) }));
  }
  const demand = demandOf({ preferences });

  const order: string[] = [];
  for (let turn = 0; turn < 32; turn++) {
    const picked = index.pick(demand, nobody, seededRandom(turn));
    if (picked.kind === "picked") index.reserve(picked.runnerId, demand.resources);
    order.push(picked.kind === "picked" ? picked.runnerId : picked.verdict);
  }

  expect(order).toEqual(Array.from({ length: 32 }, (_, turn) => `rnr_${31 - turn}`));
});

test("bad-30: demands whose texts run together do not share an answer", () => {
  const index = createFleetIndex();
  index.upsert(runnerOf({ id: "rnr_1", labels: new Map([["a", "b,c"]]) }));
  const together = demandOf({ requirements: [{ key: "a", operator: "in", values: ["b,c"] }] });
  const apart = demandOf({ requirements: [{ key: "a", operator: "in", values: ["b", "c"] }] });

  const verdicts = [together, apart].map((demand) => index.pick(demand, nobody, seededRandom(1)).kind);

  expect(verdicts).toEqual(["picked", "none"]);
});
