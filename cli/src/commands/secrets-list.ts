import { defineCommand } from "../command.ts";
import { limitOption, secretProjectOption } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { secretView } from "../views/secret.ts";

export const secretsList = defineCommand({
  path: ["secrets", "list"],
  summary: "Lists the secrets of an organization, and with a project its own too; never their values",
  arguments: {},
  options: { project: secretProjectOption, limit: limitOption },
  examples: ["agynctl secrets list", "agynctl secrets list --project web"],
  async run({ controlPlane, organization, output }, _values, { project = "", limit }) {
    const { secrets } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await secrets.listSecrets({ organization, project, ...page });
      return { items: answer.secrets, nextPageToken: answer.nextPageToken };
    });
    await output.list(secretView, found);
    return undefined;
  },
});
