import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { triggerTokenView } from "../views/trigger.ts";

export const triggersRevokeToken = defineCommand({
  path: ["triggers", "revoke-token"],
  summary: "Revokes a trigger token of a project",
  arguments: {
    project: { kind: "required", help: "the project: id, name or start of an id" },
    token: { kind: "required", help: "the token's id or name; never the token itself" },
  },
  options: { yes: yesOption },
  examples: ["agynctl triggers revoke-token web deploy --yes"],
  async run(context, { project, token }, { yes }) {
    const { triggers } = await context.controlPlane();
    const { organization, output } = context;
    await confirm(context, `revoke the trigger token ${token}?`, yes);
    const answer = await triggers.revokeTriggerToken({ project, organization, triggerToken: token });
    const revoked = required(answer.triggerToken, "trigger token");
    await output.done(triggerTokenView, revoked, `revoked trigger token ${revoked.name} (${revoked.id})`);
    return undefined;
  },
});
