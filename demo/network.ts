import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startFabric } from "../test/support/fabric/fabric.ts";

/** What a control plane needs to be reached over a network, and what ends that. */
export type DemoNetwork = { readonly description: string; readonly flags: readonly string[]; close(): Promise<void> };

/** Whether `--overlay openziti` was asked for; throws where something else was. */
export function wantsOpenZiti(args: readonly string[]): boolean {
  const { overlay = "mtls" } = parseArgs({ args: [...args], options: { overlay: { type: "string" } } }).values;
  if (overlay !== "mtls" && overlay !== "openziti")
    throw new Error(`--overlay ${overlay}: the demo knows mtls and openziti`);
  return overlay === "openziti";
}

/** Starts the double of an OpenZiti network that the tests use, in this process; `secrets` is where only this user may look. */
export async function startNetwork(secrets: string): Promise<DemoNetwork> {
  const fabric = await startFabric({ routers: ["router-1", "router-2"], openRouterPolicies: false });
  const [caFile, passwordFile] = [join(secrets, "network-ca.pem"), join(secrets, "network-password")];
  writeFileSync(caFile, fabric.caPem);
  writeFileSync(passwordFile, fabric.admin.password, { mode: 0o600 });
  const administrator = ["--ziti-admin-username", fabric.admin.username, "--ziti-admin-password-file", passwordFile];
  const place = ["--overlay", "openziti", "--ziti-controller", fabric.url, "--ziti-ca-file", caFile];
  return {
    description: `the tests' double of OpenZiti at ${fabric.url}, with two routers`,
    flags: [...place, ...administrator],
    close: () => fabric.close(),
  };
}
