import { CreateTriggerTokenResponseSchema } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { showAccessToken } from "../access-token.ts";
import { defineCommand } from "../command.ts";
import { parseDuration, toProtoDuration } from "../durations.ts";
import { required } from "../required.ts";
import { withTokenFile } from "../service-token.ts";
import { messageJson } from "../view.ts";

export const triggersCreateToken = defineCommand({
  path: ["triggers", "create-token"],
  summary: "Creates a token that may start runs of one project, and nothing else",
  arguments: {
    project: { kind: "required", help: "the project: id, name or start of an id" },
    name: { kind: "required", help: "what it is for" },
  },
  options: {
    lifetime: {
      kind: "parsed",
      placeholder: "duration",
      parse: parseDuration,
      help: "how long it may be used (default: for ever)",
    },
    tokenFile: { kind: "text", placeholder: "file", help: "write it to this new file (0600) instead of showing it" },
  },
  examples: ["agynctl triggers create-token web deploy --lifetime 90d --token-file deploy.token"],
  async run(context, { project, name }, { lifetime, tokenFile }) {
    const { triggers } = await context.controlPlane();
    const { organization } = context;
    await withTokenFile(tokenFile, async (file) => {
      const answer = await triggers.createTriggerToken({
        project,
        organization,
        name,
        lifetime: lifetime === undefined ? undefined : toProtoDuration(lifetime),
      });
      const created = required(answer.triggerToken, "trigger token");
      file?.write(answer.token);
      await showAccessToken(context, {
        sentence: `created trigger token ${created.name} (${created.id})`,
        noun: "trigger token",
        id: created.id,
        token: answer.token,
        path: file?.path,
        json: () => messageJson(CreateTriggerTokenResponseSchema)(answer),
      });
    });
    return undefined;
  },
});
