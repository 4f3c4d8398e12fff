import { CreateUserResponseSchema } from "../../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { showAccessToken } from "../access-token.ts";
import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { withTokenFile } from "../service-token.ts";
import { messageJson } from "../view.ts";

export const usersCreate = defineCommand({
  path: ["users", "create"],
  summary: "Creates a user, a personal organization and a first access token",
  arguments: { name: { kind: "required", help: "the user's name" } },
  options: {
    clusterAdmin: { kind: "flag", help: "may manage organizations, users and the cluster's runners" },
    tokenFile: {
      kind: "text",
      placeholder: "file",
      help: "write the access token to this new file (0600) instead of showing it",
    },
  },
  examples: ["agynctl users create ada --token-file ada.token", "agynctl users create root --cluster-admin"],
  async run(context, { name }, { clusterAdmin, tokenFile }) {
    const { users } = await context.controlPlane();
    await withTokenFile(tokenFile, async (file) => {
      const answer = await users.createUser({ name, clusterAdmin });
      const user = required(answer.user, "user");
      file?.write(answer.accessToken);
      await showAccessToken(context, {
        sentence: `created user ${user.name} (${user.id})`,
        id: user.id,
        token: answer.accessToken,
        path: file?.path,
        json: () => messageJson(CreateUserResponseSchema)(answer),
      });
    });
    return undefined;
  },
});
