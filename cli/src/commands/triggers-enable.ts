import { defineCommand } from "../command.ts";
import { showSwitched, versionOption } from "../switch-trigger.ts";

export const triggersEnable = defineCommand({
  path: ["triggers", "enable"],
  summary: "Switches a version of a trigger on; the newest that is on acts",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: { version: versionOption("the newest") },
  examples: ["agynctl triggers enable web/forgejo", "agynctl triggers enable web/forgejo --version 2"],
  async run({ controlPlane, organization, output }, { trigger }, { version }) {
    const { triggers } = await controlPlane();
    return showSwitched(output, await triggers.enableTrigger({ trigger, organization, version: version ?? 0 }));
  },
});
