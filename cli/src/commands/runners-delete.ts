import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { required } from "../required.ts";
import { yesOption } from "../option-sets.ts";
import { runnerView } from "../views/runner.ts";

export const runnersDelete = defineCommand({
  path: ["runners", "delete"],
  summary: "Deletes a runner that has no live workloads",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: {
    force: { kind: "flag", help: "also with live workloads: they are lost at once and not retried" },
    yes: yesOption,
  },
  examples: ["agynctl runners delete build-1", "agynctl runners delete build-1 --force --yes"],
  async run(context, { runner }, { force, yes }) {
    const { runners } = await context.controlPlane();
    await confirm(context, force ? `delete ${runner} and give up what runs there?` : `delete ${runner}?`, yes);
    const answer = await runners.deleteRunner({ runner, organization: context.organization, force });
    const deleted = required(answer.runner, "runner");
    await context.output.done(runnerView, deleted, `deleted runner ${deleted.name} (${deleted.id})`);
    return undefined;
  },
});
