import { basename } from "node:path";
import { limits } from "../../../pipelines/limits.ts";
import { parsePipelineFile } from "../../../pipelines/parse-pipeline.ts";
import type { FileProblem, Pipeline, PlannedJob, Problem } from "../../../pipelines/pipeline.ts";
import { planJobs } from "../../../pipelines/plan-jobs.ts";
import { resolveInputs } from "../../../pipelines/resolve-inputs.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import { insertAuditEvent, type AuditEvent } from "../store/audit-events.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { getTurn } from "../store/job-order.ts";
import { insertJobs, type HeldJob, type NewJob } from "../store/jobs.ts";
import type { Project } from "../store/projects.ts";
import { insertRun, takeRunNumber, type Cause, type NewRun, type RunRow } from "../store/runs.ts";
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
  /** Throws `LIMIT` where the organization's queue, of at most `maximum` jobs, has no room for so many more. */
  demandRoom: (sql: SqlOrTransaction, organizationId: string, room: { jobs: number; maximum: number }) => Promise<void>;
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
  const parsed = parsePipelineFile(request.pipeline, source.content);
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

/** Starts what was prepared, and keeps with it the event that tells of it; what it changed is told after the commit. */
export async function startRun(
  deps: StartDeps,
  request: RunRequest,
  id = createId("run"),
  eventOf?: (run: StartedRun) => AuditEvent,
): Promise<RunRow> {
  const prepared = await prepareRun(deps, request);
  const { organizationId, priority } = request;
  const taken = await takeRunNumber(deps.sql, organizationId);
  if (!taken) throw notFound("organization", organizationId);
  const { number, maximumQueued: maximum } = taken;
  const begun = toNewRun({ id, number }, prepared);
  const advanced = await deps.sql.begin(async (transaction) => {
    await deps.demandRoom(transaction, organizationId, { jobs: prepared.jobs.length, maximum });
    const attempt = {
      jobs: prepared.jobs,
      priorityOf: (job: PlannedJob) => job.definition.priority + priority,
    };
    // Sent together: none of them needs the answer of another.
    const [run, jobs, turn] = await Promise.all([
      insertRun(transaction, begun),
      insertAttempt(transaction, { ...begun, attempt: 1 }, attempt),
      getTurn(transaction, organizationId, begun.projectId),
      eventOf && insertAuditEvent(transaction, eventOf(begun)),
    ]);
    return (await advanceHeldRun(deps, transaction, { run, jobs, ended: [], turn }))!;
  });
  deps.onAdvanced(advanced);
  return advanced.run;
}

/** What an event tells of a run that starts. */
export type StartedRun = Pick<RunRow, "id" | "organizationId" | "number">;

function toNewRun(
  { id, number }: Pick<NewRun, "id" | "number">,
  { request, pipeline, source, inputs }: Awaited<ReturnType<typeof prepareRun>>,
): NewRun {
  const { organizationId, project, labels, ref, bundleDigest, cause, event } = request;
  return {
    ...{ id, number, organizationId, inputs, labels, ref, bundleDigest, cause, event },
    projectId: project?.id ?? "",
    projectName: project?.name ?? "",
    pipeline: request.pipeline,
    name: request.name || pipeline.name,
    content: source.content,
    definition: pipeline,
    commit: source.commit,
    sourceUrl: source.url,
  };
}

/** The jobs of a run's attempt, blocked. */
export async function insertAttempt(
  sql: SqlOrTransaction,
  run: StartedRun & Pick<RunRow, "projectId" | "attempt" | "labels" | "cause">,
  { jobs, priorityOf }: { jobs: readonly PlannedJob[]; priorityOf: (job: PlannedJob) => number },
): Promise<HeldJob[]> {
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
  return insertJobs(sql, rows);
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
