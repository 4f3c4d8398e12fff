import { WorkloadPhase } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { isId } from "../../../wire/ids.ts";
import { defineCommand } from "../command.ts";
import { readPages } from "../pages.ts";
import { parsePairs } from "../requirements.ts";
import { labelFilterOption, limitOption } from "../option-sets.ts";
import { workloadView } from "../views/workload.ts";

const phases = {
  pending: WorkloadPhase.PENDING,
  placed: WorkloadPhase.PLACED,
  starting: WorkloadPhase.STARTING,
  running: WorkloadPhase.RUNNING,
  stopping: WorkloadPhase.STOPPING,
  succeeded: WorkloadPhase.SUCCEEDED,
  failed: WorkloadPhase.FAILED,
  cancelled: WorkloadPhase.CANCELLED,
  lost: WorkloadPhase.LOST,
} as const;

export const workloadsList = defineCommand({
  path: ["workloads", "list"],
  summary: "Lists workloads, newest first",
  arguments: {},
  options: {
    phase: {
      kind: "list",
      placeholder: "phase",
      choices: Object.keys(phases),
      help: "only those in this phase; repeatable",
    },
    runner: { kind: "text", placeholder: "runner", help: "only those on this runner" },
    label: labelFilterOption,
    limit: limitOption,
  },
  examples: [
    "agynctl workloads list",
    "agynctl workloads list --phase running --runner build-1",
    "agynctl workloads list --label team=web -o name",
  ],
  async run({ controlPlane, organization, output }, _values, { phase, runner, label, limit }) {
    const { orchestrator, runners } = await controlPlane();
    const isReference = runner !== undefined && !isId("runner", runner);
    const found = isReference ? (await runners.getRunner({ runner, organization })).runner?.id : runner;
    const filter = {
      organization,
      runnerId: found ?? "",
      labels: parsePairs("label", label),
      phases: Object.entries(phases).flatMap(([word, value]) => (phase.includes(word) ? [value] : [])),
    };
    const workloads = await readPages(output, limit, async (page) => {
      const answer = await orchestrator.listWorkloads({ ...filter, ...page });
      return { items: answer.workloads, nextPageToken: answer.nextPageToken };
    });
    await output.list(workloadView, workloads);
    return undefined;
  },
});
