/**
 * A fabric in a process of its own, for those who measure or show: it is forked, not imported. Its argument names, as
 * JSON, the services that its one identity may dial and host; its parent is told where it is, and how it is managed.
 */
import { startFabric } from "./fabric/fabric.ts";

const services = JSON.parse(process.argv[2]!) as string[];
// A network that is managed gets all its policies from its manager.
const fabric = await startFabric({ openRouterPolicies: services.length > 0 });
const { keyPem, certPem } = await fabric.addIdentity("everyone", { roleAttributes: ["everyone"] });
for (const name of services) {
  const service = fabric.addService(name);
  for (const type of ["Dial", "Bind"] as const) fabric.permit(type, ["#everyone"], service);
}
const { username, password } = fabric.admin;
process.send!({
  controller: fabric.url,
  credential: { keyPem, certPem, caPem: fabric.caPem },
  administrator: { username, password },
});
process.once("disconnect", () => {
  for (const violation of fabric.violations.slice(0, 10)) process.stderr.write(`${violation}\n`);
  void fabric.close();
});
