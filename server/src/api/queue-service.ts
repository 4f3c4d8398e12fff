import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type {
  MoveJobRequest,
  QueueFilter as QueueFilterProto,
  QueueService,
} from "../../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import type { UserCaller } from "../domain/access.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import type { Estimate } from "../domain/wait-estimate.ts";
import type { NoneVerdict } from "../domain/selection.ts";
import type { QueueState } from "../loops/queue-state.ts";
import type { QueueView } from "../loops/queue-view.ts";
import type { AdvanceDeps, Advanced } from "../runs/advance-run.ts";
import { cancelJobs } from "../runs/cancel-run.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import { listAllQueuedJobs, listQueuedJobs, moveJob, type MoveTarget, type QueueFilter } from "../store/job-order.ts";
import type { JobRow } from "../store/jobs.ts";
import type { Organization } from "../store/organizations.ts";
import { getOrganization } from "../store/organizations.ts";
import { toPage } from "../store/paging.ts";
import { getRun, listRunsById } from "../store/runs.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { createQueueSettings, pausesOf } from "./queue-settings.ts";
import { resolveJob, resolveProjectOf } from "./references.ts";
import { toJobProto } from "./run-proto.ts";
import { explanationToProto, verdictToProto } from "./workload-proto.ts";
import { unmetConstraintText } from "../domain/unmet-constraint.ts";

export type QueueDeps = AdvanceDeps & {
  state: QueueState;
  view: QueueView;
  runnerName: (runnerId: string | null) => Promise<string>;
  onAdvanced: (advanced: Advanced) => void;
  /** Records of jobs that were committed. */
  onJobsChanged: (rows: readonly JobRow[]) => void;
  /** Limits or pauses changed. */
  onQueueChanged: () => void;
};

const answeredJobs = 1000;
const namedRunners = 20;
const explainedRunners = 100;

/** The queue as this replica sees it; moves, pauses and limits are written, and take effect wherever the leader is. */
export function createQueueService(deps: QueueDeps): ServiceImpl<typeof QueueService> {
  const { sql, state } = deps;
  return {
    async listQueue(request, context) {
      const { organization } = targetOf(context, "organization");
      const filter = await toFilter(userOf(context), organization.id, request.filter);
      const { rows, nextToken } = await listQueuedJobs(sql, filter, toPage(request));
      return {
        items: await present(rows, organization),
        nextPageToken: nextToken,
        depth: state.queue.depth(organization.id),
        pauses: pausesOf(state.pauses, organization.id),
      };
    },

    async explainJob(request, context) {
      const { job } = targetOf(context, "job");
      const organization = (await getOrganization(sql, job.organizationId))!;
      const live = state.queue.get(job.id);
      if (job.state !== "queued" || !live) {
        throw new AgynError("STATE", `the job is ${job.state}: only a queued job waits for a runner`);
      }
      const explanation = deps.view.explain(live.demand, request.limit === 0 ? explainedRunners : request.limit);
      const text = unmetConstraintText(explanation, { organizationName: organization.name });
      const [item] = await present([job], organization);
      return { item: item!, explanation: explanationToProto(explanation, text) };
    },

    async moveJob(request, context) {
      const { job } = targetOf(context, "job");
      const target = await toTarget(userOf(context), job.organizationId, request.to);
      const moved = await sql.begin(async (transaction) => {
        const rows = await moveJob(transaction, job, target);
        const details = { to: target.kind, ...("jobId" in target && { beside: target.jobId }) };
        await insertAuditEvent(transaction, auditOf(context, { ...aboutJob(job), action: "queue.move", details }));
        return rows;
      });
      deps.onJobsChanged(moved);
      const [item] = await present(moved.slice(0, 1), (await getOrganization(sql, job.organizationId))!);
      return { item: item! };
    },

    async cancelQueuedJobs(request, context) {
      const { organization } = targetOf(context, "organization");
      refuseEmpty(request.filter);
      const filter = await toFilter(userOf(context), organization.id, request.filter);
      const found = await listAllQueuedJobs(sql, filter);
      const reason = request.reason === "" ? "cancelled in the queue" : request.reason;
      const cancelled: JobRow[] = request.dryRun ? found : [];
      for (const [runId, jobs] of Object.entries(request.dryRun ? {} : Object.groupBy(found, (job) => job.runId))) {
        const jobIds = new Set(jobs!.map((job) => job.id));
        const gone = await cancelJobs(deps, runId, { jobIds, reason, alsoRunning: false });
        for (const job of gone) {
          await insertAuditEvent(
            sql,
            auditOf(context, { ...aboutJob(job), action: "queue.cancel", details: { reason } }),
          );
        }
        cancelled.push(...gone);
      }
      const shown = await Promise.all(cancelled.slice(0, answeredJobs).map((job) => presentJob(job)));
      return { jobs: shown, count: cancelled.length };
    },

    ...createQueueSettings(deps),
  };

  async function presentJob(row: JobRow) {
    const run = await getRun(sql, row.runId);
    return toJobProto(row, {
      projectName: run?.projectName ?? "",
      runnerName: await deps.runnerName(row.runnerId),
    });
  }

  async function present(rows: readonly JobRow[], organization: Organization) {
    const found = await listRunsById(sql, [...new Set(rows.map((row) => row.runId))]);
    const runs = new Map(found.map((run) => [run.id, run]));
    const glance = deps.view.glance();
    const seen = rows.map((row) => {
      const live = state.queue.get(row.id);
      const waiting = live && live.runnerId === null ? glance.look(live, organization.name) : undefined;
      return { row, waiting, estimate: waiting && glance.estimate(live!, waiting.position) };
    });
    const items = seen.map(async ({ row, waiting, estimate }) => {
      const run = runs.get(row.runId);
      const names = (waiting?.runnerIds ?? []).slice(0, namedRunners).map(deps.runnerName);
      return {
        job: {
          ...toJobProto(row, { projectName: run?.projectName ?? "", runnerName: await deps.runnerName(row.runnerId) }),
          ...(waiting && { verdict: verdictToProto(waiting.verdict) }),
        },
        position: waiting?.position ?? 0,
        competitors: waiting?.competitors ?? 0,
        ...(estimate && { estimate: toEstimateProto(estimate) }),
        waitsFor: waiting?.waitsFor ?? "",
        runnerNames: await Promise.all(names),
        runnerCount: waiting?.runnerIds.length ?? 0,
        pipeline: run?.pipeline ?? "",
      };
    });
    return Promise.all(items);
  }

  async function toFilter(
    caller: UserCaller,
    organizationId: string,
    filter: QueueFilterProto | undefined,
  ): Promise<QueueFilter> {
    const project = await resolveProjectOf(sql, caller, filter?.project ?? "", organizationId);
    const named = await Promise.all(
      (filter?.jobs ?? []).map((reference) => resolveJob(sql, caller, reference, organizationId)),
    );
    return {
      organizationId,
      ids: named.map((job) => job.id),
      projectId: project?.id ?? "",
      labels: filter?.labels ?? {},
      pipeline: filter?.pipeline ?? "",
      verdict: (filter?.verdict ?? "") as NoneVerdict | "",
    };
  }

  async function toTarget(caller: UserCaller, organizationId: string, to: MoveJobRequest["to"]): Promise<MoveTarget> {
    if (to.case === "top" || to.case === "end") return { kind: to.case };
    const beside = await resolveJob(sql, caller, to.value ?? "", organizationId);
    if (beside.organizationId !== organizationId) {
      throw new AgynError("STATE", "the other job is of another organization: moves stay within one");
    }
    return { kind: to.case === "before" ? "before" : "after", jobId: beside.id };
  }
}

function toEstimateProto({ low_ms, middle_ms, high_ms, samples }: Estimate) {
  const [low, middle, high] = [low_ms, middle_ms, high_ms].map((time_ms) => durationFromMs(Math.round(time_ms)));
  return { low: low!, middle: middle!, high: high!, samples };
}

function refuseEmpty(filter: QueueFilterProto | undefined): void {
  const narrows =
    filter &&
    (filter.jobs.length > 0 ||
      Object.keys(filter.labels).length > 0 ||
      [filter.project, filter.pipeline, filter.verdict].some((text) => text !== ""));
  if (!narrows) throw invalidField("filter", "say which jobs: at least one field must be set");
}

function aboutJob(job: JobRow) {
  return {
    scope: { kind: "organization" as const, organizationId: job.organizationId },
    objectId: job.id,
    objectName: `${job.runNumber}/${job.name}`,
  };
}
