/** How long picking and explaining take over a large fleet, beside a plain filter of the same rules. */
import { type Demand, preferenceScore } from "../server/src/domain/demand.ts";
import { explain } from "../server/src/domain/explanation.ts";
import { createFleetIndex, type FleetIndex } from "../server/src/domain/fleet-index.ts";
import type { Runner } from "../server/src/domain/runner.ts";
import { type FleetMember, isEligible } from "../server/src/domain/selection.ts";
import { createSecureRandom, type Random } from "../server/src/secure-random.ts";
import { median as medianOf, type Figure, type Report } from "./figure.ts";

const fleetSize = 100_000;

const labelsPerRunner = 20;

const explainedSize = 1_000;

const batchSize = 5_000;

/** Demands beside the share of the fleet that meets them: the one value in so many of the label `share`. */
const shares = [
  { name: "10 %", oneIn: 10 },
  { name: "1 %", oneIn: 100 },
  { name: "0.01 %", oneIn: 10_000 },
] as const;

const nobody: ReadonlySet<string> = new Set();

/** Runs the whole benchmark; takes some seconds and about 400 MB. */
export async function runSelectionBench(): Promise<Report> {
  const random = createSecureRandom();
  const index = createFleetIndex();
  for (let number = 0; number < fleetSize; number++) index.upsert(benchRunner(number));
  const fleet = index.members();
  warmUp(index, random);

  const figures = shares.flatMap(({ name, oneIn }) => shareFigures(index, fleet, name, oneIn, random));
  figures.push(
    buildFigure(index, fleet, random),
    preferenceFigure(index, fleet, random),
    changeFigure(index, fleet, random),
    explainFigure(fleet),
  );
  return { figures, limit: "CPU and its caches: everything is in memory" };
}

/** Makes the columns of `slots`, and has the code compiled before the first figure. */
function warmUp(index: FleetIndex, random: Random): void {
  const demands = repeat(batchSize * 20, () => benchDemand("share-10", "9"));
  placeAll(index, demands, random);
  singlePick(index, "share-10", 10, random);
}

function benchRunner(number: number): Runner {
  const labels = new Map<string, string>([
    ["share-10", String(number % 10)],
    ["share-100", String(number % 100)],
    ["share-10000", String(number % 10_000)],
    ["hostname", `host-${number}`],
  ]);
  for (let label = labels.size; label < labelsPerRunner; label++)
    labels.set(`label-${label}`, String((number * 7) % label));
  return {
    id: `rnr_${number}`,
    name: `build-${number}`,
    scope: number % 3 === 0 ? { kind: "cluster" } : { kind: "organization", organizationId: "acme" },
    status: "enrolled",
    availability: "active",
    availabilityReason: "",
    labels,
    declaredCapabilities: ["git", "node", "docker", "licence", "cache"],
    foundCapabilities: ["git", "node", "docker"],
    executors: ["process", "container"],
    capacity: new Map([["slots", 100_000]]),
  };
}

function benchDemand(key: string, value: string): Demand {
  return {
    organizationId: "acme",
    requirements: [{ key, operator: "in", values: [value] }],
    capabilities: ["docker"],
    executor: "container",
    resources: new Map([["slots", 1]]),
    preferences: [],
  };
}

function shareFigures(
  index: FleetIndex,
  fleet: readonly FleetMember[],
  name: string,
  oneIn: number,
  random: Random,
): Figure[] {
  const key = `share-${oneIn}`;
  const filter = median(9, () => timed(() => pickByFilter(fleet, benchDemand(key, "0"), random)));
  const baseline = { name: "plain filter, µs", value: filter };

  const single = singlePick(index, key, oneIn, random);
  const same = benchDemand(key, "1");
  const demands = repeat(batchSize, () => same);
  const picked = medianOfBatch(() => demands.forEach((demand) => index.pick(demand, nobody, random)));
  const placed = medianOfBatch(() => placeAll(index, demands, random));
  const equal = repeat(batchSize, () => benchDemand(key, "1"));
  const placedEqual = medianOfBatch(() =>
    placeAll(
      index,
      equal.map((demand) => ({ ...demand })),
      random,
    ),
  );
  return [
    figure(`single pick of a new demand, ${name} match`, single, baseline, "≤ 50 µs, ≥ 100 ×"),
    figure(`pick in a batch of one shape, ${name} match`, picked, baseline, "≤ 1 µs"),
    figure(`pick and reserve in a batch of one shape, ${name} match`, placed, baseline),
    figure(`pick and reserve in a batch of equal demands, each its own record, ${name} match`, placedEqual, baseline),
  ];
}

/** Microseconds for each demand of a batch, the median of some batches after as many to warm up. */
function medianOfBatch(act: () => void): number {
  for (let turn = 0; turn < 9; turn++) act();
  return median(9, () => timed(act)) / batchSize;
}

/** A demand never seen before for each pick, so that no earlier pick helps: a requirement of its own makes each new. */
function singlePick(index: FleetIndex, key: string, oneIn: number, random: Random): number {
  return median(501, () => {
    const own = ownDemand(key, oneIn);
    return timed(() => index.pick(own, nobody, random));
  });
}

/** The second pick of a shape, which builds its sets. */
function buildFigure(index: FleetIndex, fleet: readonly FleetMember[], random: Random): Figure {
  const filter = median(5, () => timed(() => pickByFilter(fleet, benchDemand("share-10", "0"), random)));
  const value = median(201, () => {
    const own = ownDemand("share-10", 10);
    index.pick(own, nobody, random);
    return timed(() => index.pick(own, nobody, random));
  });
  return figure("second pick of a demand, building its shape, 10 % match", value, {
    name: "plain filter, µs",
    value: filter,
  });
}

let ownDemands = 0;

function ownDemand(key: string, oneIn: number): Demand {
  const demand = benchDemand(key, String(ownDemands++ % oneIn));
  const unseen = { key: `unseen-${ownDemands}`, operator: "not_exists" as const, values: [] };
  return { ...demand, requirements: [...demand.requirements, unseen] };
}

function preferenceFigure(index: FleetIndex, fleet: readonly FleetMember[], random: Random): Figure {
  const preferences = [4, 5, 6].map((label) => ({
    requirement: { key: `label-${label}`, operator: "in" as const, values: ["1"] },
    weight: label,
  }));
  const demand = { ...benchDemand("share-10", "2"), preferences };
  const baseline = {
    name: "plain filter, µs",
    value: median(5, () => timed(() => pickByFilter(fleet, demand, random))),
  };
  const demands = repeat(batchSize, () => demand);
  const batched = medianOfBatch(() => demands.forEach((one) => index.pick(one, nobody, random)));
  return figure("pick in a batch of one shape with three preferences, 10 % match", batched, baseline, "≤ 1 µs");
}

function changeFigure(index: FleetIndex, fleet: readonly FleetMember[], random: Random): Figure {
  const rebuild = timed(() => {
    const other = createFleetIndex();
    for (const { runner } of fleet) other.upsert(runner);
  });
  const demand = benchDemand("share-10", "3");
  const changes = repeat(
    2_000,
    (number) => ({ ...benchRunner(number), status: number % 2 === 0 ? "offline" : "enrolled" }) as const,
  );
  const change = median(5, () =>
    timed(() => {
      for (const runner of changes) {
        index.upsert(runner);
        index.pick(demand, nobody, random);
      }
    }),
  );
  return figure("a runner's change and the next pick", change / changes.length, {
    name: "building the index, µs",
    value: rebuild,
  });
}

function explainFigure(fleet: readonly FleetMember[]): Figure {
  const some = fleet.slice(0, explainedSize);
  const demand = { ...benchDemand("share-100", "0"), capabilities: ["docker", "gpu"] };
  const options = { excluded: nobody, viewerOrganizationId: "acme", limit: explainedSize };
  const random = createSecureRandom();
  const filter = median(21, () => timed(() => pickByFilter(some, demand, random)));
  const value = median(21, () => timed(() => explain(some, demand, options)));
  return figure(
    "explain over 1,000 runners, all listed",
    value,
    { name: "plain filter, µs", value: filter },
    "≤ 50,000 µs",
  );
}

/** What one would write first: filter by the rules, keep the best preferred, draw one. */
function pickByFilter(fleet: readonly FleetMember[], demand: Demand, random: Random): string | undefined {
  const fitting = fleet.filter((member) => isEligible(demand, { member, excluded: false }));
  const scores = fitting.map(({ runner }) => preferenceScore(runner.labels, demand.preferences));
  const bestScore = scores.reduce((best, score) => Math.max(best, score), -Infinity);
  const best = fitting.filter((_, position) => scores[position] === bestScore);
  return best.length === 0 ? undefined : best[random(best.length)]?.runner.id;
}

function placeAll(index: FleetIndex, demands: readonly Demand[], random: Random): void {
  for (const demand of demands) {
    const picked = index.pick(demand, nobody, random);
    if (picked.kind === "none") throw new Error(`no runner is free for a demand of the benchmark: ${picked.verdict}`);
    index.reserve(picked.runnerId, demand.resources);
  }
}

function figure(name: string, value: number, baseline: Figure["baseline"], target?: string): Figure {
  const ratio = baseline.value / value;
  return { name, value, unit: "µs", baseline, ratio, ...(target !== undefined && { target }) };
}

function repeat<Value>(times: number, create: (number: number) => Value): Value[] {
  return Array.from({ length: times }, (_, number) => create(number));
}

/** Microseconds that `act` takes. */
function timed(act: () => unknown): number {
  const start = performance.now();
  act();
  return (performance.now() - start) * 1_000;
}

function median(times: number, measure: () => number): number {
  return medianOf(repeat(times, measure));
}
