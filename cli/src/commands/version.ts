import { clientVersion } from "../client-version.ts";
import { defineCommand } from "../command.ts";
import { safe } from "../output.ts";

export const version = defineCommand({
  path: ["version"],
  summary: "Shows the versions of agynctl and of the control plane",
  arguments: {},
  options: { client: { kind: "flag", help: "only agynctl's own, without asking the control plane" } },
  examples: ["agynctl version", "agynctl version --client"],
  async run({ controlPlane, credentials, output }, _values, { client }) {
    const own = clientVersion();
    if (client) {
      await output.document(() => ({ client: own }), `agynctl ${own}\n`);
      return undefined;
    }
    const { server } = await controlPlane();
    const { version: serverVersion, trustDomain, replicaId, permissions } = await server.getServer({});
    const { gateway } = credentials();
    const text = `agynctl ${own}\ncontrol plane ${safe(serverVersion)} at ${gateway}, trust domain ${safe(trustDomain)}\n`;
    await output.document(
      () => ({ client: own, server: serverVersion, gateway, trustDomain, replicaId, permissions }),
      text,
    );
    return undefined;
  },
});
