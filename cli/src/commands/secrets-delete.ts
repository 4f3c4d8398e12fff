import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { secretProjectOption, yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { secretView } from "../views/secret.ts";

export const secretsDelete = defineCommand({
  path: ["secrets", "delete"],
  summary: "Deletes a secret of an organization or a project",
  arguments: { name: { kind: "required", help: "its name" } },
  options: { project: secretProjectOption, yes: yesOption },
  examples: ["agynctl secrets delete DEPLOY_KEY --project web --yes"],
  async run(context, { name }, { project = "", yes }) {
    const { secrets } = await context.controlPlane();
    await confirm(context, `delete the secret ${name}?`, yes);
    const answer = await secrets.deleteSecret({ organization: context.organization, project, name });
    const secret = required(answer.secret, "secret");
    await context.output.done(secretView, secret, `deleted secret ${secret.name}`);
    return undefined;
  },
});
