import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { changedTriggerConfig, triggerConfigOptions } from "../trigger-config.ts";
import { triggerView } from "../views/trigger.ts";

export const triggersUpdate = defineCommand({
  path: ["triggers", "update"],
  summary: "Makes a new version of a trigger, which acts from then on; older ones stay, and can be switched on again",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: triggerConfigOptions,
  examples: ["agynctl triggers update web/forgejo --branch main --branch 'release/*'"],
  async run({ controlPlane, organization, output }, { trigger }, options) {
    const { triggers } = await controlPlane();
    const found = required((await triggers.getTrigger({ trigger, organization })).trigger, "trigger");
    const config = changedTriggerConfig(required(found.config, "configuration"), options);
    const ifVersion = found.versions[0]?.version ?? 0;
    const answer = await triggers.updateTrigger({ trigger, organization, config, ifVersion });
    const changed = required(answer.trigger, "trigger");
    await output.done(
      triggerView,
      changed,
      `trigger ${changed.projectName}/${changed.name} is at version ${changed.version}`,
    );
    return undefined;
  },
});
