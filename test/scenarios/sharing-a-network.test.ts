import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { createOpenZitiOverlay } from "../../overlay/openziti/openziti.ts";
import { openIdentityDirectory } from "../../runner/src/identity-store.ts";
import { permissionsOf } from "../support/fabric/access.ts";
import type { Fabric } from "../support/fabric/fabric.ts";
import { identityOf, networkSettings, openNetwork } from "../support/network.ts";
import {
  createWorld,
  readWholeLog,
  script,
  until,
  untilConnected,
  type RegisteredRunner,
  type World,
} from "../support/world.ts";

/** An installation of agyn, of several in one network, with a runner that is connected. */
type Installation = { world: World; runner: RegisteredRunner; controlPlane: string };

let fabric: Fabric;
let directory: string;
let first: Installation;
let second: Installation;

beforeAll(async () => {
  fabric = await openNetwork();
  directory = await mkdtemp(join(tmpdir(), "agyn-sharing-"));
  [first, second] = [await install(""), await install("staging-")];
});
afterAll(async () => {
  for (const { world } of [second, first]) await world[Symbol.asyncDispose]();
  await fabric.close();
  await rm(directory, { recursive: true, force: true });
});

async function install(prefix: string): Promise<Installation> {
  const settings = { ...(await networkSettings(fabric, directory)), ziti_service_prefix: prefix, lease: "20s" };
  const world = await createWorld({ ...settings, ziti_repair_period: "1s" }, { over: "mtls" });
  const runner = await world.register("build-1");
  world.startRunner(runner);
  await untilConnected(world, runner);
  return { world, runner, controlPlane: `${prefix}agyn-control-plane` };
}

/** All that an installation keeps in the network, as it is now. */
function recordsOf({ runner }: Installation) {
  const { identities, services, servicePolicies, cas, authPolicies, edgeRouterPolicies, serviceEdgeRouterPolicies } =
    fabric.model;
  const tables = [
    identities,
    services,
    servicePolicies,
    cas,
    authPolicies,
    edgeRouterPolicies,
    serviceEdgeRouterPolicies,
  ];
  const { tags } = identityOf(fabric, runner) ?? expect.fail("the runner has no identity");
  const domain = (tags as Record<string, unknown>)["agynTrustDomain"];
  return tables.map((table) =>
    table
      .all()
      .filter((record) => (record.tags as Record<string, unknown> | undefined)?.["agynTrustDomain"] === domain),
  );
}

test("two installations work side by side in one network, and each finds nothing amiss", async () => {
  for (const { world, runner } of [first, second]) {
    const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(`echo ${runner.id}`) });
    expect(await readWholeLog(world.admin, workload!.id)).toEqual([runner.id]);
    const { openziti } = await world.admin.overlay.getOverlayStatus({});
    expect(openziti).toMatchObject({ error: "", differingEntities: [] });
    const { checks } = await world.admin.overlay.diagnoseRunner({ runner: runner.id });
    expect(checks.filter(({ passed }) => !passed)).toEqual([]);
  }
  expect(fabric.violations).toEqual([]);
});

test.each([
  ["the first", () => [first, second]],
  ["the second", () => [second, first]],
] as const)("a runner of %s installation sees and dials nothing of the other's", async (_, pair) => {
  const [own, other] = pair();
  const { identity } = openIdentityDirectory(join(own!.runner.dataDirectory, "identity")).load() ?? {};
  const { keyPem, chainPem: certPem } = identity ?? expect.fail("the runner has no identity");
  const credential = { keyPem, certPem, caPem: fabric.caPem };
  const overlay = createOpenZitiOverlay({ controller: fabric.url, credential: () => credential });
  onTestFinished(() => overlay.close());

  const names = (await overlay.services()).map(({ name }) => name);
  expect(names.filter((name) => name.endsWith("agyn-control-plane"))).toEqual([own!.controlPlane]);
  expect(names).toHaveLength(2);
  await expect(overlay.dial({ service: other!.controlPlane })).rejects.toThrow(`no service ${other!.controlPlane}`);
});

test("no identity of one installation may dial or host a service of the other", () => {
  const allowed = [
    [first, second],
    [second, first],
  ].flatMap(([one, other]) => {
    const [identities] = recordsOf(one!);
    const [, services] = recordsOf(other!);
    expect([identities!.length, services!.length]).toEqual([2, 3]);
    return identities!.flatMap(({ id }) =>
      services!.flatMap((service) =>
        permissionsOf(fabric.model, fabric.model.identities.get(id)!, fabric.model.services.get(service.id)!),
      ),
    );
  });
  expect(allowed).toEqual([]);
});

test("what one installation removes, mends and calls otherwise leaves the other's as it is", async () => {
  const before = JSON.stringify(recordsOf(first));
  const { world, runner } = second;
  const extra = await world.admin.runners.registerRunner({
    name: "passing-1",
    scope: { kind: { case: "organization", value: "default" } },
  });
  await until("the network knows it", () => identityOf(fabric, extra.runner!) !== undefined);
  await world.admin.runners.deleteRunner({ runner: extra.runner!.id });
  await until("the network forgot it", () => identityOf(fabric, extra.runner!) === undefined);
  await world.restartServer({ ziti_service_prefix: "other-" });
  const renamed = `other-runner-${runner.id}`;
  await until(
    "its services are renamed",
    () => fabric.model.services.find(({ name }) => name === renamed) !== undefined,
  );
  await until("nothing of the old name is there", () => {
    const names = fabric.model.services.all().map(({ name }) => name);
    return !names.some((name) => name.startsWith("staging-"));
  });

  expect(JSON.stringify(recordsOf(first))).toBe(before);
  const { openziti } = await first.world.admin.overlay.getOverlayStatus({});
  expect(openziti).toMatchObject({ error: "", differingEntities: [] });
  await untilConnected(first.world, first.runner);
  expect(fabric.violations).toEqual([]);
});
