import { defineCommand } from "../command.ts";
import { readPages } from "../pages.ts";
import { limitOption } from "../option-sets.ts";
import { accessTokenView } from "../views/people.ts";

export const tokensList = defineCommand({
  path: ["tokens", "list"],
  summary: "Lists your access tokens, newest first",
  arguments: {},
  options: { limit: limitOption },
  examples: ["agynctl tokens list"],
  async run({ controlPlane, output }, _values, { limit }) {
    const { tokens } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await tokens.listAccessTokens(page);
      return { items: answer.accessTokens, nextPageToken: answer.nextPageToken };
    });
    await output.list(accessTokenView, found);
    return undefined;
  },
});
