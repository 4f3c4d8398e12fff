import pino from "pino";
import { expect, onTestFinished, test } from "vitest";
import type { NetworkFacts } from "../../server/src/domain/overlay-plan.ts";
import { createNetworkRepair } from "../../server/src/loops/repair-network.ts";
import { until } from "../support/world.ts";

const facts: NetworkFacts = {
  trustDomain: "agyn-one",
  identityEnrollment: "ca",
  controlPlaneUri: "",
  runnersIssuerPem: "",
  controlPlaneIssuerPem: "",
  servicePrefix: "",
  routerRoles: [],
  runners: [],
};

/** A loop that runs whenever it is signalled, over a network that may be away. */
function createLoop({ leads = () => true }: { leads?: () => boolean } = {}) {
  const network = { repairs: 0, failing: 0 };
  const repair = createNetworkRepair({
    facts: async () => facts,
    async repair() {
      if (network.failing-- > 0) throw new Error("away");
      network.repairs++;
    },
    leads,
    period_ms: 3_600_000,
    signal: () => void repair.run(),
    log: pino({ level: "silent" }),
  });
  onTestFinished(() => repair.stop());
  return { repair, network };
}

test("a network that is as it should be is not looked at again until something changes", async () => {
  const { repair, network } = createLoop();
  await repair.run();
  await repair.run();
  expect(network.repairs).toBe(1);

  repair.changed();
  repair.changed();
  await until("it was looked at again", () => network.repairs === 2);
});

test("a network that is away is tried again, no sooner for what changes meanwhile", async () => {
  const { repair, network } = createLoop();
  network.failing = 1;
  await repair.run();
  repair.changed();
  await repair.run();
  expect([network.repairs, repair.state().error]).toEqual([0, new Error("away")]);

  await until("it is repaired", () => network.repairs === 1);
  expect(repair.state()).toEqual({ repairTime: expect.any(Date), error: undefined });
});

test("only the leader repairs, and whoever comes to lead does at once", async () => {
  let leads = false;
  const { repair, network } = createLoop({ leads: () => leads });
  await repair.run();
  expect(network.repairs).toBe(0);
  leads = true;
  await repair.run();
  expect(network.repairs).toBe(1);
});
