import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { runnerView } from "../views/runner.ts";

export const runnersGet = defineCommand({
  path: ["runners", "get"],
  summary: "Shows one runner",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: {},
  examples: ["agynctl runners get build-1", "agynctl runners get rnr_k3 -o yaml"],
  async run({ controlPlane, organization, output }, { runner }) {
    const { runners } = await controlPlane();
    const answer = await runners.getRunner({ runner, organization });
    await output.get(runnerView, required(answer.runner, "runner"));
    return undefined;
  },
});
