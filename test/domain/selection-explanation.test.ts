import { expect, test } from "vitest";
import type { Demand } from "../../server/src/domain/demand.ts";
import { explain, type Explanation } from "../../server/src/domain/explanation.ts";
import type { Runner } from "../../server/src/domain/runner.ts";
import { unmetConstraintText } from "../../server/src/domain/unmet-constraint.ts";
import { demandOf, nobody, runnerOf } from "./selection-world.ts";

type Member = Partial<Runner> & { id: string; used?: number };

const cluster = { kind: "cluster" } as const;

function explained(fleet: Member[], demand: Partial<Demand> = {}, excluded = nobody, limit = 10): Explanation {
  const members = fleet.map(({ used = 0, ...runner }) => ({
    runner: runnerOf(runner),
    used: new Map([["slots", used]]),
  }));
  return explain(members, demandOf(demand), { excluded, viewerOrganizationId: "acme", limit });
}

const said = (explanation: Explanation) => unmetConstraintText(explanation, { organizationName: "acme" });

test("a capability that no runner has is named, with the runner that lacks least", () => {
  const explanation = explained(
    [{ id: "build-1", executors: [] }, { id: "build-2" }, { id: "shared", scope: cluster, labels: new Map() }],
    { capabilities: ["gpu"], requirements: [{ key: "tier", operator: "not_exists", values: [] }] },
  );

  expect(explanation.verdict).toBe("never");
  expect(explanation.nearest).toEqual({ runnerId: "build-2", name: "build-2", lacks: ["capability gpu"] });
  expect(explanation.smallestChange).toBe("declare capability gpu on build-2");
  expect(said(explanation)).toBe(
    'no runner can take this workload: capability "gpu" is on none of the 3 runners of organization acme and the cluster; nearest: build-2 (lacks capability gpu)',
  );
});

test.each<{ what: string; fleet: Member[]; demand: Partial<Demand>; text: string }>([
  {
    what: "a label",
    fleet: [
      { id: "a", labels: new Map([["region", "ap"]]) },
      { id: "b", scope: cluster },
    ],
    demand: { requirements: [{ key: "region", operator: "in", values: ["us", "eu"] }] },
    text: "label region in (us, eu) is met by none of the 2 runners of organization acme and the cluster; nearest: a (lacks label region in (us, eu))",
  },
  {
    what: "an executor, with a single runner",
    fleet: [{ id: "a" }],
    demand: { executor: "container" },
    text: 'executor "container" is not offered by the only runner of organization acme and the cluster; nearest: a (lacks executor container)',
  },
  {
    what: "capacity above every total",
    fleet: [{ id: "a", capacity: new Map([["slots", 4]]) }, { id: "b" }],
    demand: { resources: new Map([["slots", 8]]) },
    text: "8 slots wanted, which is more than any of the 2 runners of organization acme and the cluster has in total (at most 4); nearest: a (lacks 8 slots (has 4))",
  },
  {
    what: "a capability that is declared but not found",
    fleet: [{ id: "a", declaredCapabilities: ["docker"] }, { id: "b" }],
    demand: { capabilities: ["docker"] },
    text: 'capability "docker" is declared but not found on 1 of the 2 runners of organization acme and the cluster; nearest: a (lacks capability docker (declared but not found))',
  },
  {
    what: "constraints that no runner meets together",
    fleet: [
      { id: "a", declaredCapabilities: ["licence"] },
      { id: "b", executors: ["container"] },
    ],
    demand: { capabilities: ["licence"], executor: "container" },
    text: "each constraint is met by some of the 2 runners of organization acme and the cluster, all of them by none; nearest: a (lacks executor container)",
  },
  { what: "an empty fleet", fleet: [], demand: {}, text: "there are no runners in organization acme and the cluster" },
])("never: the message names $what", ({ fleet, demand, text }) => {
  expect(said(explained(fleet, demand))).toBe(`no runner can take this workload: ${text}`);
});

test.each<{ what: string; fleet: Member[]; text: string }>([
  {
    what: "those offline",
    fleet: [
      { id: "a", status: "offline" },
      { id: "b", status: "offline" },
    ],
    text: "2 runners could take it but are offline: a, b; to go on: start a again",
  },
  {
    what: "one paused, with the reason",
    fleet: [{ id: "a", availability: "paused", availabilityReason: "new disk" }],
    text: "1 runner could take it but is paused (new disk): a; to go on: resume a",
  },
  {
    what: "several reasons, each by its runner",
    fleet: [{ id: "a", status: "pending" }, { id: "b", availability: "locked" }, { id: "out" }],
    text: "3 runners could take it but none is available: a has not enrolled yet, b is locked, out rejected this workload before and is left out for a while; to go on: enroll a",
  },
  {
    what: "a full runner before those that are away",
    fleet: [
      { id: "a", used: 1 },
      { id: "b", status: "offline" },
    ],
    text: "the 1 runner that could take it is full, and 1 more is unavailable; it is placed as soon as one has room",
  },
])("waiting: the message names $what", ({ fleet, text }) => {
  expect(said(explained(fleet, {}, new Set(["out"])))).toBe(text);
});

test("each runner has one verdict per rule, with every rule that fails", () => {
  const explanation = explained(
    [{ id: "a", status: "offline", labels: new Map([["region", "ap"]]), capacity: new Map([["slots", 4]]), used: 4 }],
    { requirements: [{ key: "region", operator: "in", values: ["eu"] }], capabilities: ["git"] },
  );

  expect(explanation.runners[0]?.verdicts).toEqual([
    { rule: "scope", ok: true, text: "belongs to the organization" },
    { rule: "ready", ok: false, text: "is offline" },
    { rule: "labels", ok: false, text: "region in (eu): has region=ap" },
    { rule: "capabilities", ok: false, text: "git: not declared" },
    { rule: "executor", ok: true, text: "process" },
    { rule: "capacity", ok: false, text: "1 slot wanted, 0 of 4 free" },
    { rule: "exclusion", ok: true, text: "not left out" },
  ]);
});

test("I7: another organization's runners do not appear, and of its load only that capacity is taken", () => {
  const explanation = explained(
    [
      { id: "secret", scope: { kind: "organization", organizationId: "other" } },
      { id: "shared", scope: cluster, capacity: new Map([["slots", 37]]), used: 35 },
    ],
    { resources: new Map([["slots", 3]]) },
  );

  expect(explanation.counts).toEqual({ organization: 0, cluster: 1, eligible: 0, full: 1, unavailable: 0, never: 0 });
  expect(explanation.runners[0]?.verdicts[5]?.text).toBe("3 slots wanted, capacity is taken");
  expect(JSON.stringify(explanation)).not.toMatch(/secret|35|2 of/);
});

test("eligible runners come first, those preferred most before the others, and the list is cut at its limit", () => {
  const preferences = [{ requirement: { key: "ssd", operator: "exists", values: [] } as const, weight: 3 }];

  const explanation = explained(
    [{ id: "away", status: "offline" }, { id: "plain" }, { id: "fast", labels: new Map([["ssd", "1"]]) }],
    { preferences },
    nobody,
    2,
  );

  expect(explanation.verdict).toBe("placeable");
  expect(explanation.eligibleRunnerIds).toEqual(["fast", "plain"]);
  expect(explanation.runners.map(({ name, score }) => [name, score])).toEqual([
    ["fast", 3],
    ["plain", 0],
  ]);
});

test.each([
  ["greater", "give a a label mem above 16"],
  ["less", "give a a label mem below 16"],
] as const)("the smallest change for a number that is to be %s is said in words", (operator, text) => {
  expect(explained([{ id: "a" }], { requirements: [{ key: "mem", operator, values: ["16"] }] }).smallestChange).toBe(
    text,
  );
});

test("a reserved label is not something an operator can set", () => {
  const requirements = [{ key: "agyn/arch", operator: "in" as const, values: ["arm64"] }];

  expect(explained([{ id: "a" }], { requirements }).smallestChange).toBe(
    "register a runner like a where agyn/arch in (arm64)",
  );
});
