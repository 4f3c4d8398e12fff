import { RotateTriggerSecretResponseSchema } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { showTriggerSecret } from "../show-trigger-secret.ts";
import { messageJson } from "../view.ts";

export const triggersRotateSecret = defineCommand({
  path: ["triggers", "rotate-secret"],
  summary: "Gives a webhook a new secret, shown once; the old one is dead at once",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: { yes: yesOption },
  examples: ["agynctl triggers rotate-secret web/forgejo --yes"],
  async run(context, { trigger }, { yes }) {
    const { triggers } = await context.controlPlane();
    const { organization } = context;
    const found = required((await triggers.getTrigger({ trigger, organization })).trigger, "trigger");
    await confirm(context, `give ${found.projectName}/${found.name} a new secret?`, yes);
    const answer = await triggers.rotateTriggerSecret({ trigger: found.id });
    await showTriggerSecret(context, {
      sentence: `trigger ${found.projectName}/${found.name} has a new secret`,
      trigger: found,
      secret: answer.secret,
      json: () => messageJson(RotateTriggerSecretResponseSchema)(answer),
    });
    return undefined;
  },
});
