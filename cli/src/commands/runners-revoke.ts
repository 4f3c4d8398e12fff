import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { required } from "../required.ts";
import { reasonOption, yesOption } from "../option-sets.ts";
import { runnerView } from "../views/runner.ts";

export const runnersRevoke = defineCommand({
  path: ["runners", "revoke"],
  summary: "Revokes a runner's identity; its connections end within a second",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: { reason: reasonOption, yes: yesOption },
  examples: ["agynctl runners revoke build-1 --reason 'laptop was lost'"],
  async run(context, { runner }, { reason = "", yes }) {
    const { runners } = await context.controlPlane();
    await confirm(context, `revoke the identity of ${runner}? it stays away until it enrolls again`, yes);
    const answer = await runners.revokeIdentity({ runner, organization: context.organization, reason });
    const changed = required(answer.runner, "runner");
    await context.output.done(
      runnerView,
      changed,
      `the identity of runner ${changed.name} is revoked; rotate-token also stops it from enrolling again`,
    );
    return undefined;
  },
});
