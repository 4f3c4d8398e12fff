import { checkInputs, toInput } from "./check-inputs.ts";
import { checkJobs } from "./check-jobs.ts";
import { toConcurrency, toJob, toTexts } from "./job-definition.ts";
import { pipelineVersion, type FileProblem, type Pipeline } from "./pipeline.ts";
import { createReport } from "./problems.ts";
import { readYaml } from "./read-yaml.ts";
import { pipelineShape } from "./words.ts";

/** A pipeline of jobs. `name` is what it is called where it does not say. */
export function parseYaml(name: string, text: string): { pipeline: Pipeline } | { problems: readonly FileProblem[] } {
  const report = createReport(text);
  const root = readYaml(text, report);
  const words = root === undefined ? undefined : pipelineShape.read(root, report);
  if (root === undefined || words === undefined) return { problems: report.list() };

  checkInputs(words.inputs ?? [], report);
  const cells = checkJobs({ file: text, root, words, report });
  const problems = report.list();
  if (problems.length > 0) return { problems };

  const jobs = (words.jobs ?? []).map(({ key, value = {} }) => toJob(key, value, cells.get(key)));
  const inputs = (words.inputs ?? []).map(({ key, value = {} }) => toInput(key, value));
  const pipeline: Pipeline = {
    version: pipelineVersion,
    kind: "yaml",
    name: words.name ?? name,
    inputs,
    env: toTexts(words.env ?? []),
    timeout_ms: words.timeout ?? null,
    concurrency: toConcurrency(words.concurrency),
    jobs,
  };
  return { pipeline };
}
