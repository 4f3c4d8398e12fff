import type { ServiceImpl } from "@connectrpc/connect";
import {
  StartWorkloadRequestSchema,
  type OrchestratorService,
  type StartWorkloadRequest,
} from "../../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import type { PlacementsRequest, PlacementsResponse } from "../../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { LossPolicy } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createId } from "../../../wire/ids.ts";
import type { Demand } from "../domain/demand.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import { excludedAt, nobody } from "../domain/excluded.ts";
import { explain, type Explanation } from "../domain/explanation.ts";
import { unmetConstraintText } from "../domain/unmet-constraint.ts";
import {
  defaultLostAfter_ms,
  demandFromJson,
  demandToJson,
  failedUnplaceable,
  isTerminal,
} from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import type { FleetState } from "../loops/fleet-state.ts";
import type { Placer, StartRequest } from "../loops/placer.ts";
import type { WatchFeed } from "../loops/watch-feed.ts";
import type { RunnerCaller, SessionLine } from "../sessions/open-session.ts";
import { sealSpec } from "../identity/sealed-spec.ts";
import type { Sql } from "../store/database.ts";
import { claimIdempotencyKey } from "../store/idempotency-keys.ts";
import { getOrganization, type Organization } from "../store/organizations.ts";
import { toPage } from "../store/paging.ts";
import { getRunner } from "../store/runners.ts";
import { startFailed } from "../store/workload-starts.ts";
import { decreedEnding, endWorkloads, lostEnding, type Writer } from "../store/workload-transitions.ts";
import * as workloads from "../store/workloads.ts";
import type { WorkloadRow } from "../store/workloads.ts";
import { answersKey, runnerOf, targetOf, userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { hashRequest } from "./request-hash.ts";
import { resolveWorkload } from "./references.ts";
import { toMs } from "./runner-proto.ts";
import { createTurns } from "./turns.ts";
import { demandFromProto, explanationToProto, phaseFromProto, toWorkloadProto } from "./workload-proto.ts";
import { createWorkloadWatch } from "./workloads-watch.ts";

export type OrchestratorDeps = {
  sql: Sql;
  writer: Writer;
  placer: Placer;
  fleet: FleetState;
  masterKey: MasterKey;
  feed: WatchFeed<WorkloadRow>;
  pendingTimeout_ms: number;
  /** Tells the runner's session, here or on another replica, what became of a workload. */
  tell: (row: WorkloadRow) => void;
  onWorkloadsChanged: () => void;
  runSession: (
    caller: RunnerCaller,
    requests: AsyncIterable<PlacementsRequest>,
    line: SessionLine,
  ) => AsyncIterable<PlacementsResponse>;
};

const explainedRunners = 100;

/** Starts, shows, explains and stops workloads; and the sessions of runners. */
export function createOrchestratorService(deps: OrchestratorDeps): ServiceImpl<typeof OrchestratorService> {
  const { sql, writer, placer, fleet } = deps;
  const turns = createTurns();
  const present = async (rows: readonly WorkloadRow[]) =>
    Promise.all(rows.map(async (row) => toWorkloadProto(row, await runnerName(row.runnerId))));
  const one = async (row: WorkloadRow) => ({ workload: toWorkloadProto(row, await runnerName(row.runnerId)) });

  return {
    async startWorkload(request, context) {
      const { organization } = targetOf(context, "organization");
      const start = toStart(request, organization, userOf(context).userId);
      const { idempotencyKey } = request;
      if (idempotencyKey === "") return begin(start, organization);
      return turns(`${organization.id} ${idempotencyKey}`, async () => {
        const existing = await claimStart(request, organization, start);
        return existing ? again(existing) : begin(start, organization);
      });
    },
    async getWorkload(_request, context) {
      return one(targetOf(context, "workload").workload);
    },
    async listWorkloads(request, context) {
      const { organization } = targetOf(context, "organization");
      const filter = {
        organizationId: organization.id,
        phases: request.phases.map(phaseFromProto),
        runnerId: request.runnerId,
        labels: request.labels,
      };
      const { rows, nextToken } = await workloads.listWorkloads(sql, filter, toPage(request));
      return { workloads: await present(rows), nextPageToken: nextToken };
    },
    async stopWorkload(request, context) {
      const { workload } = targetOf(context, "workload");
      if (isTerminal(workload.phase)) return one(workload);
      if (request.force) return one(await forceLost(workload));
      const stop = {
        grace_ms: toMs(request.grace) ?? null,
        reason: request.reason || "stopped",
        writer: writer.replicaId,
      };
      const asked = await workloads.requestStop(sql, workload.id, stop);
      if (asked?.phase === "pending") await cancelPending(asked);
      const now = (await workloads.getWorkload(sql, workload.id))!;
      if (!isTerminal(now.phase) && now.phase !== "pending") deps.tell(now);
      deps.onWorkloadsChanged();
      return one(now);
    },
    async explain(request, context) {
      const { organization } = targetOf(context, "organization");
      await fleet.refresh();
      const limit = request.limit === 0 ? explainedRunners : request.limit;
      if (request.subject.case === "workload") {
        const row = await resolveWorkload(sql, userOf(context), request.subject.value, organization.id);
        const explanation = explained(demandFromJson(row.demand), excludedAt(row.excluded, Date.now()), limit);
        const owner =
          row.organizationId === organization.id ? organization : await getOrganization(sql, row.organizationId);
        return {
          explanation: explanationToProto(explanation, unmetText(explanation, owner ?? organization)),
          ...(await one(row)),
        };
      }
      const demand = demandFromProto(request.subject.value, organization.id, "process");
      const explanation = explained(demand, nobody, limit);
      return { explanation: explanationToProto(explanation, unmetText(explanation, organization)) };
    },
    ...createWorkloadWatch(deps, present),
    placements(requests, context) {
      const line = { signal: context.signal, answers: context.values.get(answersKey) };
      return deps.runSession(runnerOf(context), requests, line);
    },
  };

  function toStart(request: StartWorkloadRequest, organization: Organization, createdBy: string): StartRequest {
    refuseIdAsName("workload", request.name);
    const spec = request.spec!;
    if (spec.bundle) throw invalidField("spec.bundle", "only the jobs of a run start with a bundle");
    if (spec.artifacts) throw invalidField("spec.artifacts", "only the jobs of a run have artifacts");
    const simulated = spec.command.case === "simulation";
    const demand = demandFromProto(request.demand, organization.id, simulated ? "simulated" : "process");
    if (simulated !== (demand.executor === "simulated"))
      throw invalidField("spec.command", `the executor "${demand.executor}" does not run a ${spec.command.case}`);
    const retryOnLost = request.retry?.onLost ?? false;
    const defaultLoss_ms = defaultLostAfter_ms(retryOnLost && (request.retry?.maximumTries ?? 0) > 1);
    const workload = {
      id: createId("workload"),
      organizationId: organization.id,
      name: request.name,
      labels: request.labels,
      spec: sealSpec(spec, organization.id, deps.masterKey),
      demand: demandToJson(demand),
      maximumTries: Math.max(1, request.retry?.maximumTries ?? 1),
      retryOnLost,
      retryOnFailed: request.retry?.onFailed ?? false,
      lostAfter_ms: lostAfter(request.loss, defaultLoss_ms),
      pendingTimeout_ms: toMs(request.pendingTimeout) ?? deps.pendingTimeout_ms,
      createdBy,
    };
    return { workload, demand };
  }

  async function begin(start: StartRequest, organization: Organization) {
    const outcome = await placer.start(start);
    if (outcome.kind === "never") return fail(start, organization);
    deps.onWorkloadsChanged();
    if (outcome.kind === "started") return one(outcome.row);
    return again((await workloads.getWorkload(sql, start.workload.id))!);
  }

  /** What the first start under the same key was answered with, whichever replica answered it. */
  async function again(row: WorkloadRow) {
    if (failedUnplaceable(row)) throw noRunner(row);
    return one(row);
  }

  /** With an idempotency key, the id it stands for is the workload's; one that is there already is the answer. */
  async function claimStart(
    request: StartWorkloadRequest,
    organization: Organization,
    start: StartRequest,
  ): Promise<WorkloadRow | undefined> {
    const requestHash = hashRequest(StartWorkloadRequestSchema, request);
    const claim = {
      organizationId: organization.id,
      method: "StartWorkload",
      key: request.idempotencyKey,
      requestHash,
      objectId: start.workload.id,
    };
    start.workload.id = await claimIdempotencyKey(sql, claim);
    return workloads.getWorkload(sql, start.workload.id);
  }

  /** No registered runner ever could: the workload is recorded as failed, and the error says which constraint and who comes nearest. */
  async function fail({ workload, demand }: StartRequest, organization: Organization): Promise<never> {
    const message = unmetText(explained(demand, nobody, 1), organization);
    await startFailed(sql, writer, { ...workload, runnerId: null, verdict: "never", message });
    deps.onWorkloadsChanged();
    throw noRunner({ id: workload.id, message });
  }

  async function cancelPending(row: WorkloadRow): Promise<void> {
    await endWorkloads(sql, writer, [decreedEnding(row, "cancelled", row.stopReason)]);
    placer.consider([{ ...row, phase: "cancelled" }]);
  }

  async function forceLost(row: WorkloadRow): Promise<WorkloadRow> {
    const runner = row.runnerId === null ? undefined : await getRunner(sql, row.runnerId);
    if (row.phase === "pending" || runner?.status === "enrolled") {
      throw new AgynError(
        "STATE",
        "its runner is in reach: stop it without force, with a grace of 0 if it must end at once",
      );
    }
    for (const ended of await endWorkloads(sql, writer, [lostEnding(row, "declared lost by an operator", true)])) {
      fleet.vacate(ended.id);
      const retry = ended.retriedBy && (await workloads.getWorkload(sql, ended.retriedBy));
      if (retry) placer.consider([retry]);
    }
    deps.onWorkloadsChanged();
    return (await workloads.getWorkload(sql, row.id))!;
  }

  /** Over the fleet as this replica sees it, by the very rules that placing goes by (I8). */
  function explained(demand: Demand, excluded: ReadonlySet<string>, limit: number): Explanation {
    const options = { excluded, viewerOrganizationId: demand.organizationId, limit };
    return explain(fleet.index.members(), demand, options);
  }

  async function runnerName(runnerId: string | null): Promise<string> {
    if (runnerId === null) return "";
    return fleet.index.get(runnerId)?.name ?? (await getRunner(sql, runnerId))?.name ?? "";
  }
}

/** The refusal of a start; under its idempotency key the same again. */
function noRunner({ id, message }: Pick<WorkloadRow, "id" | "message">): AgynError {
  return new AgynError("NO_RUNNER", message, { metadata: { workload_id: id } });
}

/** null: never. */
function lostAfter(loss: LossPolicy | undefined, default_ms: number): number | null {
  if (loss?.kind.case === "never") return null;
  return toMs(loss?.kind.value) ?? default_ms;
}

function unmetText(explanation: Parameters<typeof unmetConstraintText>[0], organization: Organization): string {
  return unmetConstraintText(explanation, { organizationName: organization.name });
}
