import { RunnerStatus } from "../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { defineCommand } from "../command.ts";
import { readPages } from "../pages.ts";
import { parsePairs } from "../requirements.ts";
import { labelFilterOption, limitOption } from "../option-sets.ts";
import { runnerView } from "../views/runner.ts";

const statuses = {
  pending: RunnerStatus.PENDING,
  enrolled: RunnerStatus.ENROLLED,
  offline: RunnerStatus.OFFLINE,
} as const;

export const runnersList = defineCommand({
  path: ["runners", "list"],
  summary: "Lists the runners of an organization and those of the cluster",
  arguments: {},
  options: {
    cluster: { kind: "flag", help: "only the cluster's own runners" },
    label: labelFilterOption,
    status: {
      kind: "list",
      placeholder: "status",
      choices: Object.keys(statuses),
      help: "only those in this state; repeatable",
    },
    limit: limitOption,
  },
  examples: [
    "agynctl runners list",
    "agynctl runners list --status enrolled --label region=eu -o wide",
    "agynctl runners list --cluster -o json",
  ],
  async run({ controlPlane, organization, output }, _values, { cluster, label, status, limit }) {
    const filter = {
      organization,
      clusterOnly: cluster,
      labels: parsePairs("label", label),
      statuses: Object.entries(statuses).flatMap(([word, value]) => (status.includes(word) ? [value] : [])),
    };
    const { runners } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await runners.listRunners({ ...filter, ...page });
      return { items: answer.runners, nextPageToken: answer.nextPageToken };
    });
    await output.list(runnerView, found);
    return undefined;
  },
});
