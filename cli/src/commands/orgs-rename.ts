import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { organizationView } from "../views/people.ts";

export const orgsRename = defineCommand({
  path: ["orgs", "rename"],
  summary: "Renames an organization",
  arguments: {
    old: { kind: "required", help: "its id, name or start of an id" },
    name: { kind: "required", help: "its new name" },
  },
  options: {},
  examples: ["agynctl orgs rename acme acme-labs"],
  async run({ controlPlane, output }, { old, name }) {
    const { organizations } = await controlPlane();
    const answer = await organizations.updateOrganization({ organization: old, updateMask: { paths: ["name"] }, name });
    const renamed = required(answer.organization, "organization");
    await output.done(organizationView, renamed, `organization ${renamed.id} is now named ${renamed.name}`);
    return undefined;
  },
});
