import { defineCommand } from "../command.ts";
import { exitCodes, UsageError } from "../failures.ts";
import { overlayCheckView } from "../views/overlay.ts";

export const overlayDoctor = defineCommand({
  path: ["overlay", "doctor"],
  summary:
    "Says, step by step, why a runner cannot reach the control plane over OpenZiti; exits with 1 if a step fails",
  arguments: { runner: { kind: "optional", help: "the runner: id, name or start of an id" } },
  options: { runner: { kind: "text", placeholder: "runner", help: "the same" } },
  examples: ["agynctl overlay doctor build-1", "agynctl overlay doctor --runner build-1"],
  async run({ controlPlane, organization, output }, { runner: named }, { runner = named }) {
    if (runner === undefined) throw new UsageError("no runner is named", "agynctl overlay doctor build-1");
    if (named !== undefined && named !== runner)
      throw new UsageError(`two runners are named: "${named}" and "${runner}"`);
    const { overlay } = await controlPlane();
    const { checks } = await overlay.diagnoseRunner({ runner, organization });
    await output.list(overlayCheckView, checks);
    return checks.every(({ passed }) => passed) ? undefined : exitCodes.failure;
  },
});
