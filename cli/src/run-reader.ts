import type { Job, Run } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { limits } from "../../pipelines/limits.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./failures.ts";
import { required } from "./required.ts";

/** A run by its number, id or the start of its id. */
export async function getRun(context: Context, run: string): Promise<Run> {
  const { runs } = await context.controlPlane();
  return required((await runs.getRun({ run, organization: context.organization })).run, "run");
}

/** Every job of an attempt of a run, in the pipeline's order; by default of the last. */
export async function listJobs(context: Context, run: Run, attempt?: number): Promise<readonly Job[]> {
  const { runs } = await context.controlPlane();
  // No attempt has more jobs than one page takes.
  const page = { attempt: attempt ?? 0, pageSize: limits.plannedJobs.value };
  return (await runs.listJobs({ run: run.id, organization: run.organizationId, ...page })).jobs;
}

/** Whether a job is meant by a name: its own, or that of its definition, which means every cell of a matrix. */
export function isNamed({ name, definition }: Job, wanted: string): boolean {
  return name === wanted || definition === wanted;
}

/** Those that the names mean; without names all. */
export function selectJobs(jobs: readonly Job[], names: readonly string[]): readonly Job[] {
  for (const name of names) {
    if (!jobs.some((job) => isNamed(job, name)))
      throw new UsageError(`the run has no job "${name}"`, `it has ${jobs.map((job) => job.name).join(", ")}`);
  }
  return names.length === 0 ? jobs : jobs.filter((job) => names.some((name) => isNamed(job, name)));
}
