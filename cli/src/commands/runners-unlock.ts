import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { reasonOption } from "../option-sets.ts";
import { runnerView } from "../views/runner.ts";

export const runnersUnlock = defineCommand({
  path: ["runners", "unlock"],
  summary: "Unlocks a runner whose identity was suspected stolen; it needs to enroll again",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: { reason: reasonOption },
  examples: ["agynctl runners unlock build-1 --reason 'the clone is gone'"],
  async run({ controlPlane, organization, output }, { runner }, { reason = "" }) {
    const { runners } = await controlPlane();
    const answer = await runners.unlockRunner({ runner, organization, reason });
    const changed = required(answer.runner, "runner");
    await output.done(runnerView, changed, `runner ${changed.name} is unlocked`);
    return undefined;
  },
});
