import type { ContextName, NeedScope, Scope } from "./expressions/check-expression.ts";
import { kindOf, kinds, type Kinds } from "./expressions/functions.ts";
import { toInput } from "./check-inputs.ts";
import type { InputDefinition, MatrixCell, Value } from "./pipeline.ts";
import type { JobWords, PipelineWords } from "./words.ts";

/** Each job's cells, where it has a matrix without problems. */
export type CellsByJob = ReadonlyMap<string, readonly MatrixCell[]>;

/** What texts of the pipeline itself can name: they are resolved before there are jobs. */
export function pipelineScope(words: PipelineWords): Scope {
  const inputs = (words.inputs ?? []).map(({ key, value = {} }) => toInput(key, value));
  return {
    absent: new Map<ContextName, string>([
      ["matrix", "it differs from job to job: use it in the job's own `env`"],
      ["needs", "it differs from job to job: use it in the job's own `env`"],
      ["env", "variables of the pipeline cannot refer to one another"],
    ]),
    inputs: new Map(inputs.map((input) => [input.name, inputKinds(input)])),
    matrix: new Map(),
    needs: new Map(),
    env: new Set(),
    values: new Map(
      inputs.filter(({ type }) => type === "choice").map(({ name, choices }) => [`inputs.${name}`, choices]),
    ),
    isCondition: false,
  };
}

function inputKinds({ type }: InputDefinition): Kinds {
  switch (type) {
    case "string":
    case "choice":
      return kinds.text;
    case "number":
      return kinds.number;
    case "boolean":
      return kinds.boolean;
  }
}

/** The scopes of one job's texts. */
export interface JobScopes {
  /** Of the values of `env`, which can name the pipeline's variables. */
  readonly env: Scope;
  readonly texts: Scope;
  readonly condition: Scope;
}

interface JobPlace {
  readonly job: JobWords;
  readonly pipeline: PipelineWords;
  /** Of this job; `undefined` where it has no matrix, or a faulty one. */
  readonly cells: readonly MatrixCell[] | undefined;
  readonly needs: ReadonlyMap<string, NeedScope>;
}

/** What the texts of a job can name beyond `base`, the scope of its pipeline. */
export function jobScopes(base: Scope, { job, pipeline, cells, needs }: JobPlace): JobScopes {
  const absent = new Map<ContextName, string>();
  if (job.matrix === undefined) absent.set("matrix", "the job has no matrix");
  if (needs.size === 0) absent.set("needs", "the job has no needs");
  const matrix = matrixScope(cells ?? []);
  const isFaulty = job.matrix !== undefined && cells === undefined;
  const outer = new Set((pipeline.env ?? []).map(({ key }) => key));
  const env: Scope = {
    ...base,
    absent,
    matrix: isFaulty ? undefined : matrix.kinds,
    needs,
    env: outer,
    values: new Map([...base.values, ...matrix.values]),
  };
  const texts: Scope = { ...env, env: new Set([...outer, ...(job.env ?? []).map(({ key }) => key)]) };
  return { env, texts, condition: { ...texts, isCondition: true } };
}

function matrixScope(cells: readonly MatrixCell[]): { kinds: Map<string, Kinds>; values: Map<string, Value[]> } {
  const names = new Set(cells.flatMap((cell) => Object.keys(cell)));
  const found = { kinds: new Map<string, Kinds>(), values: new Map<string, Value[]>() };
  for (const name of names) {
    const values = cells.filter((cell) => Object.hasOwn(cell, name)).map((cell) => cell[name]!);
    const absence = values.length === cells.length ? 0 : kinds.nothing;
    const mask = values.reduce<Kinds>((sum, value) => sum | kindOf(value), absence);
    found.kinds.set(name, mask);
    if (mask === kindOf(values[0])) found.values.set(`matrix.${name}`, [...new Set(values)]);
  }
  return found;
}
