import { defineCommand } from "../command.ts";
import { limitOption, runFilterOptions, toRunFilter } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { runView } from "../views/run.ts";

export const runsList = defineCommand({
  path: ["runs", "list"],
  summary: "Lists runs, newest first",
  arguments: {},
  options: {
    ...runFilterOptions,
    ref: { kind: "text", placeholder: "ref", help: "only of this ref, as it was asked for" },
    limit: limitOption,
  },
  examples: [
    "agynctl runs list",
    "agynctl runs list --project web --state failed",
    "agynctl runs list -l team=ml -o name",
  ],
  async run({ controlPlane, organization, output }, _values, { ref = "", limit, project, label, state, pipeline }) {
    const { runs } = await controlPlane();
    const filter = { ...toRunFilter({ project, label, state, pipeline }), ref };
    const found = await readPages(output, limit, async (page) => {
      const answer = await runs.listRuns({ organization, filter, ...page });
      return { items: answer.runs, nextPageToken: answer.nextPageToken };
    });
    await output.list(runView, found);
    return undefined;
  },
});
