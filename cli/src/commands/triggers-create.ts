import { CreateTriggerResponseSchema } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { required } from "../required.ts";
import { showTriggerSecret } from "../show-trigger-secret.ts";
import { forgeWords, newTriggerConfig, triggerConfigOptions, type ForgeWord } from "../trigger-config.ts";
import { messageJson } from "../view.ts";

export const triggersCreate = defineCommand({
  path: ["triggers", "create"],
  summary: "Creates a trigger of a project: a webhook, whose secret is shown once, or a schedule",
  arguments: { project: { kind: "required", help: "the project: id, name or start of an id" } },
  options: {
    webhook: {
      kind: "text",
      placeholder: "forge",
      choices: Object.keys(forgeWords),
      help: "who delivers: forgejo, gitea, github, gitlab, or generic for any program",
    },
    schedule: { kind: "text", placeholder: "cron", help: "when: minute, hour, day, month, day of the week" },
    name: { kind: "text", placeholder: "name", help: "unique in the project (default: the forge, or schedule)" },
    ...triggerConfigOptions,
  },
  examples: [
    "agynctl triggers create web --webhook forgejo --on push --branch main --pipeline pipelines/build.yaml",
    "agynctl triggers create web --schedule '0 3 * * *' --timezone Europe/Berlin --pipeline pipelines/nightly.yaml",
  ],
  async run(context, { project }, { webhook, schedule, name, ...options }) {
    if ((webhook === undefined) === (schedule === undefined)) throw new UsageError("give --webhook or --schedule");
    const kind = webhook === undefined ? { cron: schedule! } : { webhook: webhook as ForgeWord };
    const config = newTriggerConfig(kind, options);
    const { triggers } = await context.controlPlane();
    const { organization } = context;
    const chosen = name ?? webhook ?? "schedule";
    const answer = await triggers.createTrigger({ project, organization, name: chosen, config });
    const trigger = required(answer.trigger, "trigger");
    await showTriggerSecret(context, {
      sentence: `created trigger ${trigger.projectName}/${trigger.name} (${trigger.id})`,
      trigger,
      secret: answer.secret,
      json: () => messageJson(CreateTriggerResponseSchema)(answer),
    });
    return undefined;
  },
});
