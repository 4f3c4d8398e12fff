import { RegisterRunnerResponseSchema } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { parsePairs } from "../requirements.ts";
import { showServiceToken, withTokenFile } from "../service-token.ts";
import { serviceTokenOptions, toServiceTokenOptions } from "../option-sets.ts";
import { scopeText } from "../views/runner.ts";
import { messageJson } from "../view.ts";

export const runnersRegister = defineCommand({
  path: ["runners", "register"],
  summary: "Creates a runner and its service token, and shows the command that starts it",
  arguments: { name: { kind: "required", help: "the runner's name, unique in its scope" } },
  options: {
    cluster: { kind: "flag", help: "serve every organization, instead of one" },
    label: { kind: "list", short: "l", placeholder: "key=value", help: "label of the runner; repeatable" },
    capability: { kind: "list", placeholder: "name", help: "what the runner can do, such as docker; repeatable" },
    ...serviceTokenOptions,
  },
  examples: [
    "agynctl runners register build-1 --token-file build-1.token",
    "agynctl runners register gpu-1 --label region=eu --capability gpu --token-file gpu-1.token",
    "agynctl runners register shared-1 --cluster --token-uses 1 --token-lifetime 1h --token-file shared-1.token",
  ],
  async run(context, { name }, { cluster, label, capability, tokenFile, tokenUses, tokenLifetime, tokenSource }) {
    const { runners } = await context.controlPlane();
    const request = {
      name,
      scope: {
        kind: cluster
          ? ({ case: "cluster", value: true } as const)
          : ({ case: "organization", value: context.organization } as const),
      },
      labels: parsePairs("label", label),
      capabilities: [...capability],
      tokenOptions: toServiceTokenOptions({ tokenUses, tokenLifetime, tokenSource }),
    };
    await withTokenFile(tokenFile, async (file) => {
      const answer = await runners.registerRunner(request);
      const runner = required(answer.runner, "runner");
      file?.write(answer.serviceToken);
      const scope = cluster ? "of the cluster" : `of organization ${context.organization || scopeText(runner.scope)}`;
      await showServiceToken(context, {
        sentence: `registered runner ${runner.name} (${runner.id}) ${scope}`,
        runner,
        token: answer.serviceToken,
        path: file?.path,
        json: () => messageJson(RegisterRunnerResponseSchema)(answer),
      });
    });
    return undefined;
  },
});
