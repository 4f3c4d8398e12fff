import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { reasonOption } from "../option-sets.ts";
import { runnerView } from "../views/runner.ts";

export const runnersPause = defineCommand({
  path: ["runners", "pause"],
  summary: "Keeps new workloads away from a runner; those it has go on",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: { reason: reasonOption },
  examples: ["agynctl runners pause build-1 --reason 'disk is nearly full'"],
  async run({ controlPlane, organization, output }, { runner }, { reason = "" }) {
    const { runners } = await controlPlane();
    const answer = await runners.pauseRunner({ runner, organization, reason });
    const changed = required(answer.runner, "runner");
    await output.done(runnerView, changed, `runner ${changed.name} is paused`);
    return undefined;
  },
});
