import { createEvaluation, resolveConcurrency, type Resolving } from "./resolve-texts.ts";
import { limits, limitText } from "./limits.ts";
import { cellName } from "./matrix.ts";
import type { InputValues, Pipeline, Plan, PlannedJob, Problem, RunContext } from "./pipeline.ts";

/** What a run is started with. */
export interface PlanContext {
  readonly inputs: InputValues;
  readonly run: RunContext;
}

/**
 * The jobs of a run: one for each cell of each definition, in the order of the file. Planned jobs share their definitions, so a
 * store keeps `key` and not the definition with each. `problems` are of the run's concurrency group.
 */
export function planJobs(
  pipeline: Pipeline,
  { inputs, run }: PlanContext,
): Plan | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const resolving: Resolving = { evaluation: createEvaluation({ inputs, run }), problems };
  const concurrency = resolveConcurrency(pipeline.concurrency, "concurrency", resolving);
  const count = pipeline.jobs.reduce((sum, { matrix }) => sum + (matrix?.cells.length ?? 1), 0);
  if (count > limits.plannedJobs.value)
    problems.push({ path: "jobs", message: `${count} jobs: ${limitText("plannedJobs")}` });
  if (problems.length > 0) return { problems };

  const names = nameCells(pipeline);
  const jobs = pipeline.jobs.flatMap((definition) => {
    const needs = definition.needs.flatMap((need) => names.get(need) ?? []);
    const cells = definition.matrix?.cells ?? [{}];
    return cells.map((matrix, index): PlannedJob => {
      return { name: names.get(definition.name)![index]!, key: definition.name, definition, matrix, needs };
    });
  });
  return { jobs, concurrency };
}

/** The names of each definition's jobs; unique, also where values are cut or hold commas. */
function nameCells(pipeline: Pipeline): ReadonlyMap<string, readonly string[]> {
  const taken = new Set<string>();
  const unique = (name: string): string => {
    let candidate = name;
    for (let number = 2; taken.has(candidate); number++) candidate = `${name} #${number}`;
    taken.add(candidate);
    return candidate;
  };
  return new Map(
    pipeline.jobs.map(({ name, matrix }) => [
      name,
      (matrix?.cells ?? [{}]).map((cell) => unique(cellName(name, cell))),
    ]),
  );
}
