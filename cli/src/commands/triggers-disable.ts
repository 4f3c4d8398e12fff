import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { parseInteger } from "../requirements.ts";
import { switchedText, triggerView } from "../views/trigger.ts";

export const triggersDisable = defineCommand({
  path: ["triggers", "disable"],
  summary: "Switches a trigger off, or one of its versions",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: {
    version: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("version", 1, 2_147_483_647),
      help: "which version (default: all)",
    },
  },
  examples: ["agynctl triggers disable web/forgejo", "agynctl triggers disable web/forgejo --version 2"],
  async run({ controlPlane, organization, output }, { trigger }, { version }) {
    const { triggers } = await controlPlane();
    const answer = await triggers.disableTrigger({ trigger, organization, version: version ?? 0 });
    const changed = required(answer.trigger, "trigger");
    await output.done(triggerView, changed, switchedText(changed));
    return undefined;
  },
});
