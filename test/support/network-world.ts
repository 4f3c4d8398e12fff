import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFabric, type Fabric, type FabricOptions } from "./fabric/fabric.ts";
import { createWorld, until, type RegisteredRunner, type World } from "./world.ts";

/** A control plane whose runners come over an OpenZiti network in this process. */
export interface NetworkWorld extends AsyncDisposable {
  readonly world: World;
  readonly fabric: Fabric;
}

/** Starts both; settings may name other overlays than `openziti` alone. */
export async function createNetworkWorld(
  settings: Record<string, string> = {},
  options: FabricOptions = {},
): Promise<NetworkWorld> {
  const fabric = await startFabric({ openRouterPolicies: false, ...options });
  const directory = await mkdtemp(join(tmpdir(), "agyn-network-"));
  const world = await createWorld({ ...(await networkSettings(fabric, directory)), ...settings });
  return {
    world,
    fabric,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await fabric.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What a server needs to manage a fabric, as its administrator by password. */
export async function networkSettings(fabric: Fabric, directory: string): Promise<Record<string, string>> {
  const [caFile, passwordFile] = [join(directory, "network-ca.pem"), join(directory, "network-password")];
  await writeFile(caFile, fabric.caPem);
  await writeFile(passwordFile, fabric.admin.password, { mode: 0o600 });
  return {
    overlay: "openziti",
    ziti_controller: fabric.url,
    ziti_ca_file: caFile,
    ziti_admin_username: fabric.admin.username,
    ziti_admin_password_file: passwordFile,
  };
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
export function identityIn({ fabric }: NetworkWorld, { id }: Pick<RegisteredRunner, "id">) {
  return fabric.model.identities.find(({ name }) => name.endsWith(`.${id}`));
}

/** Waits until all registered runners are known in the network, and the runner plane is hosted there. */
export function untilRepaired(network: NetworkWorld): Promise<boolean> {
  return until("the network is as it should be", async () => {
    const { runners } = await network.world.admin.runners.listRunners({});
    const isKnown = runners.every((runner) => identityIn(network, runner) !== undefined);
    return isKnown && network.fabric.counts.listeners > 0;
  });
}
