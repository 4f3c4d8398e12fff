import { defineCommand } from "../command.ts";
import { limitOption } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { artifactView } from "../views/artifact.ts";

export const artifactsList = defineCommand({
  path: ["artifacts", "list"],
  summary: "Lists what jobs kept, newest first",
  arguments: {},
  options: {
    run: { kind: "text", placeholder: "run", help: "only those of this run: its number or id" },
    job: { kind: "text", placeholder: "job", help: "only those of this job: <run>/<job>, or its id" },
    project: { kind: "text", placeholder: "project", help: "only those of this project" },
    name: { kind: "text", placeholder: "text", help: "only those whose name contains this" },
    limit: limitOption,
  },
  examples: ["agynctl artifacts list --run 17", "agynctl artifacts list --project web --name coverage -o wide"],
  async run({ controlPlane, organization, output }, _values, { run = "", job = "", project = "", name = "", limit }) {
    const { artifacts } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await artifacts.listArtifacts({ organization, run, job, project, name, ...page });
      return { items: answer.artifacts, nextPageToken: answer.nextPageToken };
    });
    await output.list(artifactView, found);
    return undefined;
  },
});
