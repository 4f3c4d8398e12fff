import { defineCommand } from "../command.ts";
import { exitCodes } from "../failures.ts";
import { overlayCheckView } from "../views/overlay.ts";

export const overlayDoctor = defineCommand({
  path: ["overlay", "doctor"],
  summary:
    "Says, step by step, why a runner cannot reach the control plane over OpenZiti; exits with 1 if a step fails",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: {},
  examples: ["agynctl overlay doctor build-1"],
  async run({ controlPlane, organization, output }, { runner }) {
    const { overlay } = await controlPlane();
    const { checks } = await overlay.diagnoseRunner({ runner, organization });
    await output.list(overlayCheckView, checks);
    return checks.every(({ passed }) => passed) ? undefined : exitCodes.failure;
  },
});
