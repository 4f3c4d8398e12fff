/* The plan of a stored run: planning the same again gives the same. */
import { pipelineVersion, type PlannedJob, type Plan, type RunContext } from "../../../pipelines/pipeline.ts";
import { planJobs } from "../../../pipelines/plan-jobs.ts";
import type { WholeRun } from "../store/runs.ts";

/** Jobs by their names. */
export type StoredPlan = { jobs: ReadonlyMap<string, PlannedJob>; concurrency: Plan["concurrency"] };

/** What this server makes of what another version, or a damaged store, may have left. */
export type Readable<T> = { value: T } | { problem: string };

/** Of a run whose stored jobs have these names; `problem` where they and the pipeline do not go together. */
export function planOf(run: WholeRun, names: readonly string[]): Readable<StoredPlan> {
  const version: number = run.definition.version;
  if (version !== pipelineVersion) {
    return {
      problem: `its pipeline is stored in version ${version}, and this server reads version ${pipelineVersion}`,
    };
  }
  const planned = readable(() => planJobs(run.definition, { inputs: run.inputs, run: contextOf(run) }));
  if ("problem" in planned) return planned;
  if ("problems" in planned.value) return { problem: planned.value.problems.map((one) => one.message).join("; ") };
  const { jobs, concurrency } = planned.value;
  const byName = new Map(jobs.map((one) => [one.name, one]));
  const stray = names.find((name) => !byName.has(name));
  if (stray !== undefined) return { problem: `its stored pipeline has no job ${stray}` };
  return { value: { jobs: byName, concurrency } };
}

/** What is derived from a stored pipeline, by code that believes its types. */
export function readable<T>(derive: () => T): Readable<T> {
  try {
    return { value: derive() };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** What expressions find under `run`. */
export function contextOf(
  run: Pick<WholeRun, "number" | "attempt" | "ref" | "commit" | "cause" | "event">,
): RunContext {
  const { attempt, ref, commit, cause, event } = run;
  return { number: Number(run.number), attempt, ref, commit, trigger: cause.kind, event };
}
