import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { jobView } from "../views/job.ts";

export const jobsGet = defineCommand({
  path: ["jobs", "get"],
  summary: "Shows one job",
  arguments: { job: { kind: "required", help: "the job: <run>/<name>, or its id" } },
  options: {},
  examples: ["agynctl jobs get 17/test", "agynctl jobs get '17/test (linux)' -o json"],
  async run({ controlPlane, organization, output }, { job }) {
    const { runs } = await controlPlane();
    const answer = await runs.getJob({ job, organization });
    await output.get(jobView, required(answer.job, "job"));
    return undefined;
  },
});
