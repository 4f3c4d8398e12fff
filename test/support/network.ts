import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startFabric, type Fabric, type FabricOptions } from "./fabric/fabric.ts";
import { createTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

/** What the runners of a world come over. */
export type TestOverlay = "mtls" | "openziti";

/** What the worlds of this run are over where their tests do not say: `AGYN_TEST_OVERLAY`. */
export const overlayOfRun = readOverlay(process.env["AGYN_TEST_OVERLAY"] ?? "mtls");
export const isOverOpenZiti = overlayOfRun === "openziti";

/** For the stories that every run tells over a network, too. */
export const allOverlays: readonly TestOverlay[] = isOverOpenZiti ? ["openziti"] : ["mtls", "openziti"];

/** What a test says that cannot be over a network, as the note of why it was skipped. */
export const whyTcp = {
  replica: "over a network nobody chooses the replica that is dialed",
  port: "over a network the runner plane has no port",
  refusal: "a network refuses the login of an identity that is disabled before agyn can say why",
} as const;

type RunnerId = { readonly id: string };

/** Starts an OpenZiti network in this process, whose policies are all made by who manages it. */
export function openNetwork(options: FabricOptions = {}): Promise<Fabric> {
  return startFabric({ openRouterPolicies: false, ...options });
}

/** What a server needs to manage a network, as its administrator by password; `directory` is where its files go. */
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

/** A hop before the first router of a network, which the connections of one runner pass that are made from now on. */
export async function openRouterProxy(fabric: Fabric, { id }: RunnerId): Promise<TcpProxy> {
  const router = fabric.router();
  const proxy = await createTcpProxy(router.address);
  router.detour(proxy.address, (name) => name.endsWith(`.${id}`));
  return proxy;
}

/** What a network knows of a runner, if it does. */
export function identityOf(fabric: Fabric, { id }: RunnerId) {
  return fabric.model.identities.find(({ name }) => name.endsWith(`.${id}`));
}

/** Who hosts a service now. */
export function hostsOf({ model }: Fabric, service: string) {
  const found = model.services.find(({ name }) => name === service);
  return model.terminators.all().filter(({ serviceId }) => serviceId === found?.id);
}

/** Whether the runner plane is hosted. */
export function isHosted(fabric: Fabric): boolean {
  return hostsOf(fabric, "agyn-control-plane").length > 0;
}

/** Whether a runner can dial: it is known, and the runner plane is hosted. */
export function isReachableFor(fabric: Fabric, runner: RunnerId): boolean {
  return identityOf(fabric, runner) !== undefined && isHosted(fabric);
}

function readOverlay(name: string): TestOverlay {
  if (name === "mtls" || name === "openziti") return name;
  throw new Error(`AGYN_TEST_OVERLAY: "${name}" is neither mtls nor openziti`);
}
