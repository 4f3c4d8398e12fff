import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { required } from "../required.ts";
import { parsePairs } from "../requirements.ts";
import { runnerView } from "../views/runner.ts";

export const runnersUpdate = defineCommand({
  path: ["runners", "update"],
  summary: "Changes a runner's name, labels or capabilities; what runs there is not touched",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: {
    name: { kind: "text", placeholder: "name", help: "new name" },
    label: { kind: "list", short: "l", placeholder: "key=value", help: "label in place of all it has; repeatable" },
    clearLabels: { kind: "flag", help: "take every label away" },
    capability: { kind: "list", placeholder: "name", help: "capability in place of all it has; repeatable" },
    clearCapabilities: { kind: "flag", help: "take every capability away" },
  },
  examples: [
    "agynctl runners update build-1 --label region=eu --label zone=a",
    "agynctl runners update build-1 --name build-2 --clear-capabilities",
  ],
  async run(
    { controlPlane, organization, output },
    { runner },
    { name, label, clearLabels, capability, clearCapabilities },
  ) {
    if (clearLabels && label.length > 0) throw new UsageError("--clear-labels and --label exclude each other");
    if (clearCapabilities && capability.length > 0)
      throw new UsageError("--clear-capabilities and --capability exclude each other");
    const paths = [
      ...(name === undefined ? [] : ["name"]),
      ...(clearLabels || label.length > 0 ? ["labels"] : []),
      ...(clearCapabilities || capability.length > 0 ? ["capabilities"] : []),
    ];
    if (paths.length === 0) throw new UsageError("nothing is to change: give --name, --label or --capability");
    const { runners } = await controlPlane();
    const fields = { name: name ?? "", labels: parsePairs("label", label), capabilities: [...capability] };
    const answer = await runners.updateRunner({ runner, organization, updateMask: { paths }, ...fields });
    const changed = required(answer.runner, "runner");
    await output.done(runnerView, changed, `updated runner ${changed.name}: ${paths.join(", ")}`);
    return undefined;
  },
});
