import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { organizationView } from "../views/people.ts";

export const orgsGet = defineCommand({
  path: ["orgs", "get"],
  summary: "Shows one organization",
  arguments: {
    name: { kind: "optional", help: "its id, name or start of an id (default: --org, else your default one)" },
  },
  options: {},
  examples: ["agynctl orgs get", "agynctl orgs get acme -o json"],
  async run({ controlPlane, organization, output }, { name = organization }) {
    const { organizations } = await controlPlane();
    const answer = await organizations.getOrganization({ organization: name });
    await output.get(organizationView, required(answer.organization, "organization"));
    return undefined;
  },
});
