import { basename } from "node:path";
import { limits } from "../../../pipelines/limits.ts";
import { parsePipelineFile } from "../../../pipelines/parse-pipeline.ts";
import type { FileProblem, Pipeline, PlannedJob, Problem } from "../../../pipelines/pipeline.ts";
import { planJobs } from "../../../pipelines/plan-jobs.ts";
import { resolveInputs } from "../../../pipelines/resolve-inputs.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import type { AuditEvent } from "../store/audit-events.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import type { Turn } from "../store/job-order.ts";
import type { HeldJob } from "../store/jobs.ts";
import type { Project } from "../store/projects.ts";
import { insertStart, reserveStart, type NewRun, type Reservation } from "../store/run-changes.ts";
import type { Cause, RunRow } from "../store/runs.ts";
import { advanceHeldRun, type AdvanceDeps, type Advanced } from "./advance-run.ts";
import { decideHeldRun } from "./decide-held-run.ts";
import { demandRoom, isRoomFar } from "./demand-room.ts";
import { derivedOf } from "./derive-run.ts";
import { fetchGitFile, type FetchedFile } from "./git-source.ts";
import { changedRows } from "./job-change.ts";
import { newJobs, toNewJobs } from "./new-jobs.ts";

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
  /** Jobs of an organization that wait, as far as this replica knows. */
  queueDepth: (organizationId: string) => number;
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
  const { organizationId, project, priority } = request;
  const asked = { organizationId, projectId: project?.id ?? "", jobs: prepared.jobs.length };
  const reserved = await reserveStart(deps.sql, asked);
  if (!reserved) throw notFound("organization", organizationId);
  const run = toNewRun(id, prepared, reserved);
  const priorityOf = (job: PlannedJob) => job.definition.priority + priority;
  const jobs = newJobs(run, prepared.jobs, { ...reserved, priorityOf });
  const starting = { run, jobs, turn: reserved.turn, event: eventOf?.(run) };
  const room = { jobs: jobs.length, maximum: reserved.maximumQueued, depth: deps.queueDepth(organizationId) };
  const advanced =
    isRoomFar(room) && writesOnce(prepared.pipeline, request)
      ? await writeStart(deps, deps.sql, starting)
      : await deps.sql.begin(async (transaction) => {
          if (!isRoomFar(room)) await demandRoom(transaction, organizationId, room);
          return writeStart(deps, transaction, starting);
        });
  deps.onAdvanced(advanced);
  return advanced.run;
}

/** Whether the one statement that inserts the run is all that its start writes. */
function writesOnce({ concurrency, jobs }: Pipeline, { bundleDigest }: RunRequest): boolean {
  return concurrency === null && bundleDigest === "" && jobs.every((job) => Object.keys(job.secrets).length === 0);
}

type Starting = { run: NewRun; jobs: readonly HeldJob[]; turn: Turn; event: AuditEvent | undefined };

/** The run with its jobs as they are once it was taken on; one of a group has to be there first, to stand in it. */
async function writeStart(
  deps: StartDeps,
  sql: SqlOrTransaction,
  { run, jobs, turn, event }: Starting,
): Promise<Advanced> {
  const events = event ? [event] : [];
  const held = { run, jobs, turn };
  if (run.definition.concurrency !== null) {
    const derived = derivedOf(run, jobs, run.createTime);
    const stored = await insertStart(sql, { run, derived, jobs: toNewJobs(jobs), events });
    return (await advanceHeldRun(deps, sql, { ...held, run: { ...run, ...stored } }))!;
  }
  const { derived, changes, stops, ...decided } = await decideHeldRun(deps, sql, held);
  const told = [...events, ...decided.events];
  const stored = await insertStart(sql, { run, derived, jobs: toNewJobs(jobs, changes), events: told });
  const { waiting_ms, running_ms } = derived;
  return {
    run: { ...run, ...derived, ...stored, waiting_ms: BigInt(waiting_ms), running_ms: BigInt(running_ms) },
    jobs: changedRows(jobs, changes, stored.changeXid),
    stops,
  };
}

/** What an event tells of a run that starts. */
export type StartedRun = Pick<RunRow, "id" | "organizationId" | "number">;

function toNewRun(
  id: string,
  { request, pipeline, source, inputs }: Awaited<ReturnType<typeof prepareRun>>,
  { number, now }: Reservation,
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
    ...{ state: "queued", message: "", attempt: 1, jobs: {}, waiting_ms: 0n, running_ms: 0n },
    ...{ cancelRequested: false, advanceRequested: false, admitted: false, hasTurn: false },
    ...{ createTime: now, startTime: null, endTime: null, deadline: null, isPastDeadline: false },
    // The store's to give.
    ...{ key: 0n, changeXid: "" },
  };
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
