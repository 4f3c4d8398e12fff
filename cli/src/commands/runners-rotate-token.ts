import { RotateServiceTokenResponseSchema } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { required } from "../required.ts";
import { showServiceToken, withTokenFile } from "../service-token.ts";
import { serviceTokenOptions, toServiceTokenOptions, yesOption } from "../option-sets.ts";
import { messageJson } from "../view.ts";

export const runnersRotateToken = defineCommand({
  path: ["runners", "rotate-token"],
  summary: "Makes a new service token; the old one is dead at once, the runner's identity stays",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: { ...serviceTokenOptions, yes: yesOption },
  examples: ["agynctl runners rotate-token build-1 --token-file build-1.token"],
  async run(context, { runner }, { tokenFile, tokenUses, tokenLifetime, tokenSource, yes }) {
    const { runners } = await context.controlPlane();
    const { organization } = context;
    await confirm(context, `make the present service token of ${runner} useless?`, yes);
    await withTokenFile(tokenFile, async (file) => {
      const tokenOptions = toServiceTokenOptions({ tokenUses, tokenLifetime, tokenSource });
      const answer = await runners.rotateServiceToken({ runner, organization, tokenOptions });
      const changed = required(answer.runner, "runner");
      file?.write(answer.serviceToken);
      await showServiceToken(context, {
        sentence: `runner ${changed.name} has a new service token`,
        runner: changed,
        token: answer.serviceToken,
        path: file?.path,
        json: () => messageJson(RotateServiceTokenResponseSchema)(answer),
      });
    });
    return undefined;
  },
});
