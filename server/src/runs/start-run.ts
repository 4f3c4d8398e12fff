import { basename } from "node:path";
import { limits } from "../../../pipelines/limits.ts";
import { parsePipeline } from "../../../pipelines/parse-pipeline.ts";
import type { FileProblem, Pipeline, PlannedJob, Problem } from "../../../pipelines/pipeline.ts";
import { planJobs } from "../../../pipelines/plan-jobs.ts";
import { resolveInputs } from "../../../pipelines/resolve-inputs.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { insertJobs, type NewJob } from "../store/jobs.ts";
import type { Project } from "../store/projects.ts";
import { insertRun, nextRunNumber, type Cause, type RunRow, type WholeRun } from "../store/runs.ts";
import { advanceHeldRun, type AdvanceDeps, type Advanced } from "./advance-run.ts";
import { fetchGitFile, type FetchedFile } from "./git-source.ts";

/** What somebody or something wants to run. */
export type RunRequest = {
  organizationId: string;
  project: Project | undefined;
  /** The pipeline's path in its source. */
  pipeline: string;
  ref: string;
  /** What `ref` stands for, where that is known; empty: it is asked of the repository. */
  commit?: string;
  /** Every job requires these too. */
  capabilities?: readonly string[];
  /** The pipeline's text; empty: it comes from the bundle, else from the project's repository. */
  content: Uint8Array;
  bundleDigest: string;
  inputs: Record<string, string>;
  labels: Record<string, string>;
  name: string;
  priority: number;
  cause: Cause;
  event: unknown;
};

export type StartDeps = AdvanceDeps & {
  /** A file of an uploaded bundle. */
  readBundleFile: (organizationId: string, digest: string, path: string) => Promise<Uint8Array>;
  allowFileSources: boolean;
  /** Throws `LIMIT` where the organization's queue has no room for so many jobs. */
  demandRoom: (sql: SqlOrTransaction, organizationId: string, jobs: number) => Promise<void>;
  /** Records that changed were committed. */
  onAdvanced: (advanced: Advanced) => void;
};

const sourceTimeout_ms = 60_000;

/** A run that is whole and may be written: nothing of it is wrong. */
export type PreparedRun = { request: RunRequest; pipeline: Pipeline; jobs: readonly PlannedJob[]; source: Source };
type Source = FetchedFile & { url: string };

/** Finds the pipeline, and every mistake in it and in what is asked for: `INVALID_ARGUMENT`, or `SOURCE`. */
export async function prepareRun(
  deps: StartDeps,
  request: RunRequest,
): Promise<PreparedRun & { inputs: RunRow["inputs"] }> {
  const source = await findSource(deps, request);
  const parsed = parsePipeline(request.pipeline, Buffer.from(source.content).toString());
  if ("problems" in parsed) throw pipelineError(request.pipeline, parsed.problems);
  const pipeline = requireAll(parsed.pipeline, request.capabilities ?? []);
  const resolved = resolveInputs(pipeline, request.inputs);
  if ("problems" in resolved) throw inputError(resolved.problems);
  const { commit } = source;
  const run = { number: 0, attempt: 1, ref: request.ref, commit, trigger: request.cause.kind, event: request.event };
  const planned = planJobs(pipeline, { inputs: resolved.inputs, run });
  if ("problems" in planned) throw pipelineError(request.pipeline, planned.problems);
  return { request, pipeline, jobs: planned.jobs, source, inputs: resolved.inputs };
}

/** Starts what was prepared; what it changed is told after the commit. */
export async function startRun(deps: StartDeps, request: RunRequest, id = createId("run")): Promise<RunRow> {
  const prepared = await prepareRun(deps, request);
  const { organizationId, project, cause, event } = request;
  const number = await nextRunNumber(deps.sql, organizationId);
  const advanced = await deps.sql.begin(async (transaction) => {
    await deps.demandRoom(transaction, organizationId, prepared.jobs.length);
    const run = await insertRun(transaction, {
      id,
      organizationId,
      number,
      projectId: project?.id ?? "",
      projectName: project?.name ?? "",
      pipeline: request.pipeline,
      name: request.name || prepared.pipeline.name,
      content: prepared.source.content,
      definition: prepared.pipeline,
      inputs: prepared.inputs,
      labels: request.labels,
      ref: request.ref,
      commit: prepared.source.commit,
      bundleDigest: request.bundleDigest,
      sourceUrl: prepared.source.url,
      cause,
      event,
    });
    await insertAttempt(transaction, run, {
      jobs: prepared.jobs,
      priorityOf: (job) => job.definition.priority + request.priority,
    });
    return (await advanceHeldRun(deps, transaction, run))!;
  });
  deps.onAdvanced(advanced);
  return advanced.run;
}

/** The jobs of a run's attempt, blocked. */
export async function insertAttempt(
  sql: SqlOrTransaction,
  run: WholeRun,
  { jobs, priorityOf }: { jobs: readonly PlannedJob[]; priorityOf: (job: PlannedJob) => number },
): Promise<void> {
  const { id: runId, organizationId, projectId, attempt, labels } = run;
  const rows = jobs.map((job): NewJob => ({
    id: createId("job"),
    organizationId,
    projectId,
    runId,
    runNumber: Number(run.number),
    attempt,
    name: job.name,
    definition: job.key,
    matrix: job.matrix,
    needs: [...job.needs],
    labels,
    priority: priorityOf(job),
    matrixLimit: job.definition.matrix?.maxParallel ?? 0,
    createdBy: run.cause.userId || run.cause.triggerId,
  }));
  await insertJobs(sql, rows);
}

async function findSource(deps: StartDeps, request: RunRequest): Promise<Source> {
  const { project, pipeline, content, bundleDigest, ref, commit = "", organizationId } = request;
  if (content.length > 0) return { url: "", commit: "", content };
  if (bundleDigest !== "") {
    return { url: "", commit: "", content: await deps.readBundleFile(organizationId, bundleDigest, pipeline) };
  }
  if (!project) throw invalidField("content", `give the text of ${basename(pipeline)}, a bundle, or a project`);
  if (project.sourceUrl === "") {
    throw invalidField("project", `project ${project.name} has no source: give the pipeline's text, or set one`);
  }
  const options = {
    limit_bytes: limits.file_bytes.value,
    timeout_ms: sourceTimeout_ms,
    allowFiles: deps.allowFileSources,
  };
  const file = { url: project.sourceUrl, ref: commit || ref || project.defaultRef, path: pipeline };
  return { url: project.sourceUrl, ...(await fetchGitFile(file, options)) };
}

function requireAll(pipeline: Pipeline, capabilities: readonly string[]): Pipeline {
  if (capabilities.length === 0) return pipeline;
  const jobs = pipeline.jobs.map((job) => {
    const all = new Set([...job.requires.capabilities, ...capabilities]);
    return { ...job, requires: { ...job.requires, capabilities: [...all] } };
  });
  return { ...pipeline, jobs };
}

function pipelineError(file: string, problems: readonly (Problem | FileProblem)[]): AgynError {
  return problemError(problems, (one) => ("line" in one ? `${file}:${one.line}:${one.column}` : file));
}

function inputError(problems: readonly Problem[]): AgynError {
  return problemError(problems, (one) => one.path);
}

function problemError<P extends Problem>(problems: readonly P[], fieldOf: (problem: P) => string): AgynError {
  const violations = problems.map((one) => ({
    field: fieldOf(one),
    description: `${one.path === fieldOf(one) || one.path === "" ? "" : `${one.path}: `}${one.message}${one.hint ? ` (${one.hint})` : ""}`,
  }));
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  return new AgynError("INVALID_ARGUMENT", text, { violations });
}
