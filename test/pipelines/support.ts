import { evaluateJob } from "../../pipelines/evaluate-job.ts";
import { parsePipeline } from "../../pipelines/parse-pipeline.ts";
import type {
  EndedJob,
  FileProblem,
  InputValues,
  JobContext,
  JobEvaluation,
  Pipeline,
  Plan,
  Problem,
  RunContext,
} from "../../pipelines/pipeline.ts";
import { planJobs } from "../../pipelines/plan-jobs.ts";

/** The pipeline that `text` is; an error with its problems where it is none. */
export function pipelineOf(text: string, path = "ci.yaml"): Pipeline {
  const parsed = parsePipeline(path, text);
  if ("pipeline" in parsed) return parsed.pipeline;
  throw new Error(parsed.problems.map(problemLine).join("\n"));
}

/** Its problems, each as a line: `3:5 jobs.test.run: what (hint)`. */
export function problemsOf(text: string, path = "ci.yaml"): string[] {
  const parsed = parsePipeline(path, text);
  return "problems" in parsed ? parsed.problems.map(problemLine) : [];
}

function problemLine({ line, column, ...problem }: FileProblem): string {
  return `${line}:${column} ${toLine(problem)}`;
}

export function toLine({ path, message, hint }: Problem): string {
  return `${path === "" ? "" : `${path}: `}${message}${hint === undefined ? "" : ` (${hint})`}`;
}

export const run: RunContext = { number: 7, attempt: 1, ref: "main", commit: "c0ffee", trigger: "manual", event: null };

/** The plan of a run of `pipeline`; an error where there is none. */
export function planOf(pipeline: Pipeline, inputs: InputValues = {}, context: RunContext = run): Plan {
  const plan = planJobs(pipeline, { inputs, run: context });
  if ("jobs" in plan) return plan;
  throw new Error(plan.problems.map(toLine).join("\n"));
}

export function ended(key: string, state: EndedJob["state"] = "succeeded", more: Partial<EndedJob> = {}): EndedJob {
  return { key, state, cause: null, outputs: {}, ...more };
}

/** What becomes of the job `name` of `pipeline`. */
export function evaluate(pipeline: Pipeline, name: string, context: Partial<JobContext> = {}): JobEvaluation {
  const { inputs = {}, run: given = run } = context;
  const job = planOf(pipeline, inputs, given).jobs.find((planned) => planned.name === name);
  if (job === undefined) throw new Error(`no job is planned as ${name}`);
  return evaluateJob(job, { inputs, run: given, env: pipeline.env, needs: [], cancelled: false, ...context });
}

/** A pipeline of one job with these words, indented by four. */
export function oneJob(words: string, top = ""): string {
  return `${top}jobs:\n  one:\n    run: make\n${words.replaceAll(/^(?=.)/gm, "    ")}`;
}
