import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  RerunRunRequestSchema,
  StartRunRequestSchema,
  type RunFilter as RunFilterProto,
  type RunsService,
} from "../../../proto/gen/agyn/runs/v1/runs_service_pb.ts";
import { parsePipelineFile } from "../../../pipelines/parse-pipeline.ts";
import type { FileProblem, Problem } from "../../../pipelines/pipeline.ts";
import { planJobs } from "../../../pipelines/plan-jobs.ts";
import { resolveInputs } from "../../../pipelines/resolve-inputs.ts";
import type { UserCaller } from "../domain/access.ts";
import { invalidField } from "../domain/errors.ts";
import type { CancelRun } from "../runs/cancel-run.ts";
import { rerunRun, type RerunScope } from "../runs/rerun-run.ts";
import type { StartDeps, StartedRun } from "../runs/start-run.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import { claimIdempotencyKey, type IdempotencyClaim } from "../store/idempotency-keys.ts";
import { listJobs, type JobRow } from "../store/jobs.ts";
import { toPage } from "../store/paging.ts";
import * as runs from "../store/runs.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { hashRequest } from "./request-hash.ts";
import { resolveProjectOf, resolveRun } from "./references.ts";
import { runStateFromProto, toJobProto, toRunProto } from "./run-proto.ts";
import { startKeyedRun } from "./start-keyed-run.ts";
import { watchRuns, type RunsWatchDeps } from "./runs-watch.ts";

export type RunsDeps = StartDeps &
  Omit<RunsWatchDeps, "present"> & {
    cancelRun: CancelRun;
    /** A runner's name, also of one that is gone. */
    runnerName: (runnerId: string | null) => Promise<string>;
  };

/** Runs of one answer of a cancel. */
const answeredRuns = 1000;

/** Runs and their jobs; whatever moves a run goes through `runs/`, in one transaction each. */
export function createRunsService(deps: RunsDeps): ServiceImpl<typeof RunsService> {
  const { sql } = deps;
  const one = (run: runs.RunRow) => ({ run: toRunProto(run) });
  return {
    async startRun(request, context) {
      const { organization } = targetOf(context, "organization");
      const caller = userOf(context);
      const project = await resolveProjectOf(sql, caller, request.project, organization.id);
      const { pipeline, ref, content, bundleDigest, inputs, labels, name, priority } = request;
      const asked = { pipeline, ref, content, bundleDigest, inputs, labels, name, priority };
      const cause = { kind: "manual", userId: caller.userId, triggerId: "", deliveryId: "", event: "" } as const;
      const run = await startKeyedRun(deps, {
        request: { organizationId: organization.id, project, ...asked, cause, event: null },
        claim: claimOf(StartRunRequestSchema, request, organization.id),
        eventOf: (started) => auditOf(context, { ...about(started), action: "run.start" }),
      });
      return one(run);
    },

    validatePipeline(request) {
      const parsed = parsePipelineFile(request.pipeline, request.content);
      if ("problems" in parsed) return { problems: parsed.problems.map(toProblem), jobs: [] };
      const given = resolveInputs(parsed.pipeline, request.inputs);
      if ("problems" in given) return { problems: given.problems.map(toProblem), jobs: [] };
      const run = { number: 0, attempt: 1, ref: "", commit: "", trigger: "manual", event: null };
      const planned = planJobs(parsed.pipeline, { inputs: given.inputs, run });
      if ("problems" in planned) return { problems: planned.problems.map(toProblem), jobs: [] };
      return { problems: [], jobs: planned.jobs.map((job) => job.name) };
    },

    async getRun(_request, context) {
      const { run } = targetOf(context, "run");
      const content = await runs.getRunContent(sql, run.id);
      return { run: toRunProto(run), content: content ?? new Uint8Array() };
    },

    async listRuns(request, context) {
      const { organization } = targetOf(context, "organization");
      const filter = await toFilter(userOf(context), organization.id, request.filter);
      const found = await runs.listRuns(sql, filter, toPage(request));
      return { runs: found.rows.map(toRunProto), nextPageToken: found.nextToken };
    },

    async cancelRuns(request, context) {
      const { organization } = targetOf(context, "organization");
      refuseEmpty(request.filter);
      const filter = await toFilter(userOf(context), organization.id, request.filter);
      const live = await runs.listLiveRuns(sql, filter);
      if (request.dryRun) return { runs: live.slice(0, answeredRuns).map(toRunProto), count: live.length };
      const grace_ms = request.grace ? durationMs(request.grace) : null;
      const cancelled: runs.RunRow[] = [];
      for (const run of live) {
        const changed = await deps.cancelRun(run.id, { reason: request.reason, grace_ms });
        if (!changed) continue;
        await insertAuditEvent(sql, auditOf(context, { ...about(run), action: "run.cancel" }));
        cancelled.push(changed);
      }
      return { runs: cancelled.slice(0, answeredRuns).map(toRunProto), count: cancelled.length };
    },

    async rerunRun(request, context) {
      const { run } = targetOf(context, "run");
      const claim = claimOf(RerunRunRequestSchema, request, run.organizationId);
      const ifAttempt = claim && Number(await claimIdempotencyKey(sql, { ...claim, objectId: String(run.attempt) }));
      const eventOf = (next: runs.RunRow) => {
        const details = { attempt: String(next.attempt) };
        return auditOf(context, { ...about(next), action: "run.rerun", details });
      };
      const rerun = await rerunRun(deps, { runId: run.id, scope: scopeOf(request.scope), ifAttempt, eventOf });
      return one(rerun);
    },

    async getJob(_request, context) {
      const { job } = targetOf(context, "job");
      const run = await runs.getRun(sql, job.runId);
      return { job: await present(job, run?.projectName ?? "") };
    },

    async listJobs(request, context) {
      const { run } = targetOf(context, "run");
      const attempt = request.attempt === 0 ? run.attempt : request.attempt;
      const { rows, nextToken } = await listJobs(sql, { runId: run.id, attempt }, toPage(request));
      return { jobs: await Promise.all(rows.map((job) => present(job, run.projectName))), nextPageToken: nextToken };
    },

    async *watchRuns(request, context) {
      const { organization } = targetOf(context, "organization");
      const caller = userOf(context);
      const project = await resolveProjectOf(sql, caller, request.project, organization.id);
      const watched = { organizationId: organization.id, runId: request.runId, projectId: project?.id ?? "" };
      yield* watchRuns({ ...deps, present }, watched, { bookmark: request.bookmark, signal: context.signal });
    },
  };

  async function present(job: JobRow, projectName: string) {
    return toJobProto(job, { projectName, runnerName: await deps.runnerName(job.runnerId) });
  }

  async function toFilter(
    caller: UserCaller,
    organizationId: string,
    filter: RunFilterProto | undefined,
  ): Promise<runs.RunFilter> {
    const project = await resolveProjectOf(sql, caller, filter?.project ?? "", organizationId);
    const named = await Promise.all(
      (filter?.runs ?? []).map((reference) => resolveRun(sql, caller, reference, organizationId)),
    );
    for (const run of named)
      if (run.organizationId !== organizationId)
        throw invalidField("filter.runs", `${run.id} is of another organization`);
    return {
      organizationId,
      ids: named.map((run) => run.id),
      projectId: project?.id ?? "",
      states: (filter?.states ?? []).map(runStateFromProto),
      labels: filter?.labels ?? {},
      pipeline: filter?.pipeline ?? "",
      ref: filter?.ref ?? "",
      triggerId: filter?.trigger ?? "",
    };
  }
}

/** By what the idempotency key of a call knows it again; `undefined` where it has none. */
function claimOf<Schema extends DescMessage>(
  schema: Schema,
  request: MessageShape<Schema> & { idempotencyKey: string },
  organizationId: string,
): Omit<IdempotencyClaim, "objectId"> | undefined {
  const { idempotencyKey: key } = request;
  if (key === "") return undefined;
  return { organizationId, method: schema.name, key, requestHash: hashRequest(schema, request) };
}

function scopeOf(scope: { case: string | undefined; value?: unknown }): RerunScope {
  if (scope.case === "job") return { kind: "job", name: scope.value as string };
  return { kind: scope.case === "failed" ? "failed" : "all" };
}

function refuseEmpty(filter: RunFilterProto | undefined): void {
  const narrows =
    filter &&
    (filter.runs.length > 0 ||
      filter.states.length > 0 ||
      Object.keys(filter.labels).length > 0 ||
      [filter.project, filter.pipeline, filter.ref, filter.trigger].some((text) => text !== ""));
  if (!narrows) throw invalidField("filter", "say which runs: at least one field must be set");
}

function about(run: StartedRun) {
  return {
    scope: { kind: "organization" as const, organizationId: run.organizationId },
    objectId: run.id,
    objectName: String(run.number),
  };
}

function toProblem(problem: Problem | FileProblem) {
  const { path, message, hint = "" } = problem;
  const [line, column] = "line" in problem ? [problem.line, problem.column] : [0, 0];
  return { line, column, path, message, hint };
}
