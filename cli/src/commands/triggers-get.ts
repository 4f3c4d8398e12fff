import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { triggerView } from "../views/trigger.ts";

export const triggersGet = defineCommand({
  path: ["triggers", "get"],
  summary: "Shows a trigger with its filters and versions",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: {},
  examples: ["agynctl triggers get web/forgejo"],
  async run({ controlPlane, organization, output }, { trigger }, _options) {
    const { triggers } = await controlPlane();
    const answer = await triggers.getTrigger({ trigger, organization });
    await output.get(triggerView, required(answer.trigger, "trigger"));
    return undefined;
  },
});
