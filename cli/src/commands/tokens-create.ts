import { CreateAccessTokenResponseSchema } from "../../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { showAccessToken } from "../access-token.ts";
import { defineCommand } from "../command.ts";
import { parseDuration, toProtoDuration } from "../durations.ts";
import { required } from "../required.ts";
import { withTokenFile } from "../service-token.ts";
import { messageJson } from "../view.ts";

export const tokensCreate = defineCommand({
  path: ["tokens", "create"],
  summary: "Creates an access token of yours",
  arguments: { name: { kind: "required", help: "what it is for" } },
  options: {
    scope: {
      kind: "list",
      placeholder: "permission",
      help: "what it may do, such as runners.read (default: all that you may); repeatable",
    },
    lifetime: {
      kind: "parsed",
      placeholder: "duration",
      parse: parseDuration,
      help: "how long it may be used (default: for ever)",
    },
    tokenFile: { kind: "text", placeholder: "file", help: "write it to this new file (0600) instead of showing it" },
  },
  examples: ["agynctl tokens create ci --scope workloads.start --scope logs.read --lifetime 90d --token-file ci.token"],
  async run(context, { name }, { scope, lifetime, tokenFile }) {
    const { tokens } = await context.controlPlane();
    await withTokenFile(tokenFile, async (file) => {
      const request = {
        name,
        scopes: [...scope],
        lifetime: lifetime === undefined ? undefined : toProtoDuration(lifetime),
      };
      const answer = await tokens.createAccessToken(request);
      const created = required(answer.accessToken, "access token");
      file?.write(answer.token);
      await showAccessToken(context, {
        sentence: `created access token ${created.name} (${created.id})`,
        id: created.id,
        token: answer.token,
        path: file?.path,
        json: () => messageJson(CreateAccessTokenResponseSchema)(answer),
      });
    });
    return undefined;
  },
});
