import { defineCommand } from "../command.ts";
import { readPages } from "../pages.ts";
import { limitOption } from "../option-sets.ts";
import { memberView } from "../views/people.ts";

export const membersList = defineCommand({
  path: ["members", "list"],
  summary: "Lists the members of an organization",
  arguments: {},
  options: { limit: limitOption },
  examples: ["agynctl members list --org acme"],
  async run({ controlPlane, organization, output }, _values, { limit }) {
    const { organizations } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await organizations.listMembers({ organization, ...page });
      return { items: answer.members, nextPageToken: answer.nextPageToken };
    });
    await output.list(memberView, found);
    return undefined;
  },
});
