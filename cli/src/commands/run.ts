import { randomUUID } from "node:crypto";
import { defineCommand } from "../command.ts";
import type { Context } from "../context.ts";
import { UsageError } from "../failures.ts";
import { followRun } from "../follow-run.ts";
import { idempotencyKeyOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { parseInteger, parsePairs } from "../requirements.ts";
import { findRunSource } from "../run-source.ts";
import { uploadBundle } from "../upload-bundle.ts";
import { runView } from "../views/run.ts";

/** Of the files that a run does not have. */
const maximumNamed = 10;

export const run = defineCommand({
  path: ["run"],
  summary: "Runs a pipeline: of a project's repository, a local file, or a local directory",
  arguments: {
    source: { kind: "required", help: "a project, a local pipeline such as ./build.yaml, or a local directory" },
    pipeline: { kind: "optional", help: "the pipeline's path in the repository, or in the directory" },
  },
  options: {
    ref: { kind: "text", placeholder: "ref", help: "branch, tag or commit (default: the project's)" },
    input: { kind: "list", short: "i", placeholder: "name=value", help: "input of the pipeline; repeatable" },
    label: { kind: "list", short: "l", placeholder: "key=value", help: "label of the run; repeatable" },
    name: { kind: "text", placeholder: "name", help: "for people (default: the pipeline's own)" },
    priority: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("priority", -1000, 1000),
      help: "added to the priority of each job",
    },
    follow: { kind: "flag", short: "f", help: "show its jobs and their logs, and exit as the run ends" },
    idempotencyKey: idempotencyKeyOption,
  },
  examples: [
    "agynctl run web pipelines/build.yaml --ref main --input target=release --follow",
    "agynctl run ./build.yaml --input target=debug",
    "agynctl run ./web pipelines/build.yaml --follow",
    "agynctl run web pipelines/test.yaml --label team=ml --priority 10 -o name",
  ],
  async run(context, { source, pipeline }, { ref, input, label, name = "", priority = 0, follow, idempotencyKey }) {
    const { output, organization, terminal } = context;
    if (follow && output.format !== "table")
      throw new UsageError("--follow shows logs: it goes with no other output format");
    const inputs = parsePairs("input", input);
    const labels = parsePairs("label", label);
    const { directory, ...found } = await findRunSource(terminal.cwd, { source, pipeline, ref });
    const controlPlane = await context.controlPlane();
    const { runs } = controlPlane;
    const bundle = directory === undefined ? undefined : await uploadBundle(controlPlane, directory, organization);
    await noteSkipped(output, bundle?.skipped ?? []);
    const answer = await runs.startRun({
      organization,
      ...found,
      bundleDigest: bundle?.sha256 ?? "",
      inputs,
      labels,
      name,
      priority,
      // With a key of its own, a start whose answer was lost can be asked for again without starting twice.
      idempotencyKey: idempotencyKey ?? randomUUID(),
    });
    const started = required(answer.run, "run");
    if (follow) return followRun(context, started);
    const next = `agynctl runs logs ${started.number} --follow`;
    await output.done(runView, started, `started run ${started.number} (${started.id}): ${next}`);
    return undefined;
  },
});

async function noteSkipped(output: Context["output"], skipped: readonly string[]): Promise<void> {
  for (const one of skipped.slice(0, maximumNamed)) await output.note(`${one}: the run does not have it`, "warning");
  const more = skipped.length - maximumNamed;
  if (more > 0) await output.note(`nor ${more} more`, "warning");
}
