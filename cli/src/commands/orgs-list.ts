import { defineCommand } from "../command.ts";
import { readPages } from "../pages.ts";
import { limitOption } from "../option-sets.ts";
import { organizationView } from "../views/people.ts";

export const orgsList = defineCommand({
  path: ["orgs", "list"],
  summary: "Lists the organizations you belong to",
  arguments: {},
  options: { all: { kind: "flag", help: "all of the cluster, for cluster admins" }, limit: limitOption },
  examples: ["agynctl orgs list", "agynctl orgs list --all -o name"],
  async run({ controlPlane, output }, _values, { all, limit }) {
    const { organizations } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await organizations.listOrganizations({ all, ...page });
      return { items: answer.organizations, nextPageToken: answer.nextPageToken };
    });
    await output.list(organizationView, found);
    return undefined;
  },
});
