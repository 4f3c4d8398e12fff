import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { reasonOption } from "../option-sets.ts";
import { runnerView } from "../views/runner.ts";

export const runnersDrain = defineCommand({
  path: ["runners", "drain"],
  summary: "Lets a runner finish what it has, and gives it nothing new until it is resumed",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: { reason: reasonOption },
  examples: ["agynctl runners drain build-1 --reason upgrade"],
  async run({ controlPlane, organization, output }, { runner }, { reason = "" }) {
    const { runners } = await controlPlane();
    const answer = await runners.drainRunner({ runner, organization, reason });
    const changed = required(answer.runner, "runner");
    await output.done(runnerView, changed, `runner ${changed.name} is draining`);
    return undefined;
  },
});
