import { defineCommand } from "../command.ts";
import { showSwitched, versionOption } from "../switch-trigger.ts";

export const triggersDisable = defineCommand({
  path: ["triggers", "disable"],
  summary: "Switches a trigger off, or one of its versions",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: { version: versionOption("all") },
  examples: ["agynctl triggers disable web/forgejo", "agynctl triggers disable web/forgejo --version 2"],
  async run({ controlPlane, organization, output }, { trigger }, { version }) {
    const { triggers } = await controlPlane();
    return showSwitched(output, await triggers.disableTrigger({ trigger, organization, version: version ?? 0 }));
  },
});
