import { expect, test } from "vitest";
import { explain } from "../../server/src/domain/explanation.ts";
import { createFleetIndex } from "../../server/src/domain/fleet-index.ts";
import { demandOf, nobody, runnerOf } from "./selection-world.ts";

const unheard = runnerOf({
  id: "new",
  status: "pending",
  isUnknown: true,
  labels: new Map([["region", "eu"]]),
  executors: [],
  capacity: new Map(),
});
const demanding = demandOf({
  requirements: [{ key: "agyn/os", operator: "in", values: ["linux"] }],
  resources: new Map([
    ["slots", 2],
    ["memory", 4],
  ]),
});

test("a demand waits for a runner that has not said yet what it is", () => {
  const index = createFleetIndex();
  index.upsert(unheard);

  const pick = index.pick(demanding, nobody, () => 0);
  const explanation = explain(index.members(), demanding, {
    excluded: nobody,
    viewerOrganizationId: "acme",
    limit: 10,
  });

  expect(pick).toEqual({ kind: "none", verdict: "unavailable" });
  expect(explanation.verdict).toBe("unavailable");
});

test("what its operator declared counts also before a runner has connected", () => {
  const index = createFleetIndex();
  index.upsert(unheard);
  const elsewhere = demandOf({ requirements: [{ key: "region", operator: "in", values: ["us"] }] });

  expect(index.pick(elsewhere, nobody, () => 0)).toEqual({ kind: "none", verdict: "never" });
});
