/** An OpenZiti network in a process of its own, as the tests have it: a controller and one router. */
import type { Credential } from "../overlay/openziti/credential.ts";
import { startFabric } from "../test/support/fabric/fabric.ts";
import { services } from "./overlay-terms.ts";

/** What the parent is told: where the network is, and an identity that may dial and host everything in it. */
export type NetworkReady = { controller: string; credential: Credential };

const fabric = await startFabric();
const { keyPem, certPem } = await fabric.addIdentity("bench", { roleAttributes: ["bench"] });
for (const name of services) {
  const service = fabric.addService(name);
  for (const type of ["Dial", "Bind"] as const) fabric.permit(type, ["#bench"], service);
}
process.send!({
  controller: fabric.url,
  credential: { keyPem, certPem, caPem: fabric.caPem },
} satisfies NetworkReady);
process.once("disconnect", () => {
  if (fabric.violations.length > 0) console.error(fabric.violations.slice(0, 10).join("\n"));
  void fabric.close();
});
