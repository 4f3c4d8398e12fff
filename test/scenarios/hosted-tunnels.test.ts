import { afterAll, beforeAll, expect, test } from "vitest";
import { createNetworkWorld, type NetworkWorld } from "../support/network-world.ts";
import { until, type RegisteredRunner } from "../support/world.ts";
import { connectRunner, exec, startScript } from "../tunnels/support.ts";

let network: NetworkWorld;
let runner: RegisteredRunner;
let workload: string;

beforeAll(async () => {
  network = await createNetworkWorld({ lease: "20s" });
  runner = await connectRunner(network.world, "build-1");
  workload = await startScript(network.world.admin, "sleep 600");
  await untilHosted();
});
afterAll(() => network[Symbol.asyncDispose]());

const dials = () => network.fabric.dialsOf(`runner-${runner.id}`);

function untilHosted(): Promise<boolean> {
  const { model } = network.fabric;
  return until("the runner hosts its service", () => {
    const service = model.services.find(({ name }) => name === `runner-${runner.id}`);
    return model.terminators.all().some(({ serviceId }) => serviceId === service?.id);
  });
}

test("a command goes into a workload by the service that its runner hosts", async () => {
  const before = dials();
  expect(await exec(network.world.admin, workload, ["cat"], "inside")).toMatchObject({ stdout: "inside" });
  expect(dials()).toBe(before + 1);
  expect(network.fabric.violations).toEqual([]);
});
