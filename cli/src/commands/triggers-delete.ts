import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { triggerView } from "../views/trigger.ts";

export const triggersDelete = defineCommand({
  path: ["triggers", "delete"],
  summary: "Deletes a trigger with its log of deliveries; its runs stay",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: { yes: yesOption },
  examples: ["agynctl triggers delete web/forgejo --yes"],
  async run(context, { trigger }, { yes }) {
    const { triggers } = await context.controlPlane();
    const { organization, output } = context;
    const found = required((await triggers.getTrigger({ trigger, organization })).trigger, "trigger");
    await confirm(context, `delete the trigger ${found.projectName}/${found.name}?`, yes);
    await triggers.deleteTrigger({ trigger: found.id });
    await output.done(triggerView, found, `deleted trigger ${found.projectName}/${found.name} (${found.id})`);
    return undefined;
  },
});
