import { readFileSync } from "node:fs";
import { TriggerSchema } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { safe } from "../output.ts";
import { required } from "../required.ts";
import { messageJson } from "../view.ts";

export const triggersSetCredential = defineCommand({
  path: ["triggers", "set-credential"],
  summary: "Sets the forge's token with which a trigger's runs are reported; it is kept sealed, and never shown",
  arguments: {
    trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" },
    file: { kind: "required", help: "the file that holds the token" },
  },
  options: {},
  examples: ["agynctl triggers set-credential web/forgejo forge.token"],
  async run({ controlPlane, organization, output }, { trigger, file }) {
    const { triggers } = await controlPlane();
    const found = required((await triggers.getTrigger({ trigger, organization })).trigger, "trigger");
    await triggers.setTriggerCredential({ trigger: found.id, credential: read(file) });
    const sentence = `trigger ${found.projectName}/${found.name} has a credential\n`;
    await output.document(() => messageJson(TriggerSchema)(found), `${safe(sentence.trim())}\n`);
    return undefined;
  },
});

function read(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
