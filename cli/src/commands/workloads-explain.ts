import { defineCommand } from "../command.ts";
import { showExplanation } from "../explanation.ts";
import { required } from "../required.ts";
import { parseInteger } from "../requirements.ts";

export const workloadsExplain = defineCommand({
  path: ["workloads", "explain"],
  summary: "Says for each runner whether it could take a workload, and why not",
  arguments: { workload: { kind: "required", help: "the workload: id, name or start of an id" } },
  options: {
    limit: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("limit", 1, 1000),
      help: "show at most so many runners (default: 100)",
    },
  },
  examples: ["agynctl workloads explain nightly", "agynctl workloads explain wkl_k3 -o json"],
  async run(context, { workload }, { limit = 0 }) {
    const { orchestrator } = await context.controlPlane();
    const subject = { case: "workload", value: workload } as const;
    const answer = await orchestrator.explain({ organization: context.organization, subject, limit });
    return showExplanation(context, required(answer.explanation, "explanation"));
  },
});
