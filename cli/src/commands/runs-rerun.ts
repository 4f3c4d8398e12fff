import { randomUUID } from "node:crypto";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { followRun } from "../follow-run.ts";
import { idempotencyKeyOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { runView } from "../views/run.ts";

export const runsRerun = defineCommand({
  path: ["runs", "rerun"],
  summary: "Runs jobs of an ended run again, as another attempt; those before it stay, with their logs",
  arguments: { run: { kind: "required", help: "the run: its number, id or start of an id" } },
  options: {
    failed: { kind: "flag", help: "those that failed or were cancelled, and what depends on them" },
    job: { kind: "text", placeholder: "job", help: "this job and what depends on it" },
    all: { kind: "flag", help: "every job" },
    follow: { kind: "flag", short: "f", help: "show its jobs and their logs, and exit as the run ends" },
    idempotencyKey: idempotencyKeyOption,
  },
  examples: [
    "agynctl runs rerun 17 --failed",
    "agynctl runs rerun 17 --job test --follow",
    "agynctl runs rerun 17 --all",
  ],
  async run(context, { run }, { failed, job, all, follow, idempotencyKey }) {
    const { output, organization } = context;
    if ([failed, job !== undefined, all].filter((given) => given).length !== 1)
      throw new UsageError("say what is to be run again: one of --failed, --job and --all");
    if (follow && output.format !== "table")
      throw new UsageError("--follow shows logs: it goes with no other output format");
    const scope =
      job === undefined
        ? ({ case: failed ? "failed" : "all", value: true } as const)
        : ({ case: "job", value: job } as const);
    const { runs } = await context.controlPlane();
    const key = idempotencyKey ?? randomUUID();
    const answer = await runs.rerunRun({ run, organization, scope, idempotencyKey: key });
    const started = required(answer.run, "run");
    if (follow) return followRun(context, started);
    const next = `agynctl runs logs ${started.number} --follow`;
    await output.done(runView, started, `run ${started.number} is in attempt ${started.attempt}: ${next}`);
    return undefined;
  },
});
