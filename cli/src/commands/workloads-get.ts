import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { workloadView } from "../views/workload.ts";

export const workloadsGet = defineCommand({
  path: ["workloads", "get"],
  summary: "Shows one workload",
  arguments: { workload: { kind: "required", help: "the workload: id, name or start of an id" } },
  options: {},
  examples: ["agynctl workloads get nightly", "agynctl workloads get wkl_k3 -o json"],
  async run({ controlPlane, organization, output }, { workload }) {
    const { orchestrator } = await controlPlane();
    const answer = await orchestrator.getWorkload({ workload, organization });
    await output.get(workloadView, required(answer.workload, "workload"));
    return undefined;
  },
});
