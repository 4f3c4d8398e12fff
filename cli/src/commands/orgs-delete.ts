import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { required } from "../required.ts";
import { organizationView } from "../views/people.ts";
import { yesOption } from "../option-sets.ts";

export const orgsDelete = defineCommand({
  path: ["orgs", "delete"],
  summary: "Deletes an organization that has no runners and no live workloads",
  arguments: { name: { kind: "required", help: "its id, name or start of an id" } },
  options: { yes: yesOption },
  examples: ["agynctl orgs delete acme --yes"],
  async run(context, { name }, { yes }) {
    const { organizations } = await context.controlPlane();
    await confirm(context, `delete the organization ${name}?`, yes);
    const deleted = required(
      (await organizations.deleteOrganization({ organization: name })).organization,
      "organization",
    );
    await context.output.done(organizationView, deleted, `deleted organization ${deleted.name} (${deleted.id})`);
    return undefined;
  },
});
