import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { reasonOption } from "../option-sets.ts";
import { runnerView } from "../views/runner.ts";

export const runnersResume = defineCommand({
  path: ["runners", "resume"],
  summary: "Ends a runner's pause or drain",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: { reason: reasonOption },
  examples: ["agynctl runners resume build-1"],
  async run({ controlPlane, organization, output }, { runner }, { reason = "" }) {
    const { runners } = await controlPlane();
    const answer = await runners.resumeRunner({ runner, organization, reason });
    const changed = required(answer.runner, "runner");
    await output.done(runnerView, changed, `runner ${changed.name} is active again`);
    return undefined;
  },
});
