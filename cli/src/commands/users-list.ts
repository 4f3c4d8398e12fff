import { defineCommand } from "../command.ts";
import { readPages } from "../pages.ts";
import { limitOption } from "../option-sets.ts";
import { userView } from "../views/people.ts";

export const usersList = defineCommand({
  path: ["users", "list"],
  summary: "Lists the users of the cluster",
  arguments: {},
  options: { limit: limitOption },
  examples: ["agynctl users list", "agynctl users list -o json"],
  async run({ controlPlane, output }, _values, { limit }) {
    const { users } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await users.listUsers(page);
      return { items: answer.users, nextPageToken: answer.nextPageToken };
    });
    await output.list(userView, found);
    return undefined;
  },
});
