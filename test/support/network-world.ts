import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Fabric, FabricOptions } from "./fabric/fabric.ts";
import { identityOf, isHosted } from "./network.ts";
import { createWorld, until, type RegisteredRunner, type World } from "./world.ts";

/** A control plane whose runners come over an OpenZiti network in this process, whatever the run is over. */
export interface NetworkWorld extends AsyncDisposable {
  readonly world: World;
  readonly fabric: Fabric;
}

/** Starts both; settings may name other overlays than `openziti` alone. */
export async function createNetworkWorld(
  settings: Record<string, string> = {},
  options: FabricOptions = {},
): Promise<NetworkWorld> {
  const world = await createWorld(settings, { network: options });
  return { world, fabric: world.fabric!, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

/** Makes an identity that may dial enrollment and nothing else, as an operator does. Returns its file. */
export async function createBootstrapIdentity({ world, fabric }: NetworkWorld, name: string): Promise<string> {
  const { openziti } = await world.admin.overlay.getOverlayStatus({});
  const { keyPem, certPem } = await fabric.addIdentity(name, { roleAttributes: [openziti!.bootstrapRole] });
  const id = { key: `pem:${keyPem}`, cert: `pem:${certPem}`, ca: `pem:${fabric.caPem}` };
  const file = join(world.directory, `${name}.json`);
  await writeFile(file, JSON.stringify({ ztAPI: `${fabric.url}/edge/client/v1`, id }), { mode: 0o600 });
  return file;
}

/** What a network knows of a runner, if it does. */
export function identityIn({ fabric }: NetworkWorld, runner: Pick<RegisteredRunner, "id">) {
  return identityOf(fabric, runner);
}

/** Waits until all registered runners are known in the network, and the runner plane is hosted there. */
export function untilRepaired(network: NetworkWorld): Promise<boolean> {
  return until("the network is as it should be", async () => {
    const { runners } = await network.world.admin.runners.listRunners({});
    const isKnown = runners.every((runner) => identityIn(network, runner) !== undefined);
    return isKnown && isHosted(network.fabric);
  });
}
