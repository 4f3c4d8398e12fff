import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
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
import { defaultLostAfter_ms, demandFromJson, demandToJson, isTerminal } from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import type { FleetState } from "../loops/fleet-state.ts";
import type { Placer, StartRequest } from "../loops/place-workloads.ts";
import type { WatchFeed } from "../loops/watch-feed.ts";
import type { RunnerCaller } from "../sessions/open-session.ts";
import { sealSpec } from "../identity/sealed-spec.ts";
import type { Sql } from "../store/database.ts";
import { claimIdempotencyKey } from "../store/idempotency-keys.ts";
import type { Organization } from "../store/organizations.ts";
import { toPage } from "../store/paging.ts";
import { getRunner } from "../store/runners.ts";
import { endWorkloads, startWorkloads, type Writer } from "../store/workload-transitions.ts";
import * as workloads from "../store/workloads.ts";
import type { WorkloadRow } from "../store/workloads.ts";
import { runnerOf, targetOf, userOf } from "./context.ts";
import { resolveWorkload } from "./references.ts";
import { toMs } from "./runner-proto.ts";
import { createTurns } from "./turns.ts";
import { watch } from "./watch.ts";
import { demandFromProto, explanationToProto, phaseFromProto, toWorkloadProto } from "./workload-proto.ts";

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
    signal: AbortSignal,
  ) => AsyncIterable<PlacementsResponse>;
};

const explainedRunners = 100;
const snapshotPage = 500;
/** Workloads that a watch catches up with from a bookmark; beyond it a snapshot is less (I9). */
const caughtUpLimit = 10_000;
const unguarded = { epoch: -1n, fleetVersion: -1n };

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
        return existing ? one(existing) : begin(start, organization);
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
      const { workloads: rows, nextToken } = await workloads.listWorkloads(sql, filter, toPage(request));
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
        return {
          explanation: explanationToProto(explanation, unmetText(explanation, organization)),
          ...(await one(row)),
        };
      }
      const demand = demandFromProto(request.subject.value, organization.id, "process");
      const explanation = explained(demand, nobody, limit);
      return { explanation: explanationToProto(explanation, unmetText(explanation, organization)) };
    },
    async *watchWorkloads(request, context) {
      const { organization } = targetOf(context, "organization");
      const followed = new Set(request.workloadId === "" ? [] : [request.workloadId]);
      const isWatched = (row: WorkloadRow) => {
        if (row.organizationId !== organization.id) return false;
        if (request.workloadId === "") return true;
        if (row.retryOf && followed.has(row.retryOf)) followed.add(row.id);
        return followed.has(row.id);
      };
      const source = {
        sql,
        storeEpoch: writer.storeEpoch,
        feed: deps.feed,
        changes: (from: string) => changesSince(organization.id, from),
        present: (rows: readonly WorkloadRow[]) => present(rows.filter(isWatched)),
        snapshot: () => snapshot(organization.id, request.workloadId),
      };
      for await (const step of watch(source, request.bookmark, context.signal)) {
        yield { workloads: step.items, bookmark: step.bookmark, snapshotComplete: step.snapshotComplete };
      }
    },
    placements(requests, context) {
      return deps.runSession(runnerOf(context), requests, context.signal);
    },
  };

  function toStart(request: StartWorkloadRequest, organization: Organization, createdBy: string): StartRequest {
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
    return one(outcome.kind === "started" ? outcome.row : (await workloads.getWorkload(sql, start.workload.id))!);
  }

  /** With an idempotency key, the id it stands for is the workload's; one that is there already is the answer. */
  async function claimStart(
    request: StartWorkloadRequest,
    organization: Organization,
    start: StartRequest,
  ): Promise<WorkloadRow | undefined> {
    const requestHash = createHash("sha256").update(toBinary(StartWorkloadRequestSchema, request)).digest();
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
    await startWorkloads(sql, writer, unguarded, [{ ...workload, runnerId: null, verdict: "never", message }]);
    const ending = {
      id: workload.id,
      fence: 0n,
      runnerId: null,
      phase: "failed",
      message,
      phaseIfStopped: "failed",
      messageIfStopped: message,
    } as const;
    await endWorkloads(sql, writer, [{ ...ending, result: null, mayRetry: false }]);
    deps.onWorkloadsChanged();
    throw new AgynError("NO_RUNNER", message, { metadata: { workload_id: workload.id } });
  }

  async function cancelPending(row: WorkloadRow): Promise<void> {
    const message = row.stopReason;
    const ending = {
      id: row.id,
      fence: row.fence,
      runnerId: null,
      phase: "cancelled",
      message,
      phaseIfStopped: "cancelled",
      messageIfStopped: message,
    } as const;
    await endWorkloads(sql, writer, [{ ...ending, result: null, mayRetry: false }]);
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
    const message = "declared lost by an operator";
    const ending = {
      id: row.id,
      fence: row.fence,
      runnerId: null,
      phase: "lost",
      message,
      phaseIfStopped: "lost",
      messageIfStopped: message,
    } as const;
    for (const ended of await endWorkloads(sql, writer, [{ ...ending, result: null, mayRetry: true }])) {
      fleet.vacate(ended.id);
      const retry = ended.retriedBy && (await workloads.getWorkload(sql, ended.retriedBy));
      if (retry) placer.consider([retry]);
    }
    deps.onWorkloadsChanged();
    return (await workloads.getWorkload(sql, row.id))!;
  }

  async function* snapshot(organizationId: string, workloadId: string): AsyncIterable<readonly WorkloadRow[]> {
    if (workloadId !== "") {
      const row = await workloads.getWorkload(sql, workloadId);
      yield row ? [row] : [];
      return;
    }
    const live = await workloads.listLiveWorkloadsOf(sql, organizationId);
    for (let start = 0; start < live.length; start += snapshotPage) yield live.slice(start, start + snapshotPage);
  }

  async function changesSince(organizationId: string, from: string): Promise<readonly WorkloadRow[]> {
    const rows = await workloads.listChangedWorkloadsOf(sql, organizationId, from, caughtUpLimit + 1);
    if (rows.length <= caughtUpLimit) return rows;
    const text = `more than ${caughtUpLimit} workloads changed since the bookmark: watch again without it, from a snapshot`;
    throw new AgynError("CURSOR_EXPIRED", text);
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

/** null: never. */
function lostAfter(loss: LossPolicy | undefined, default_ms: number): number | null {
  if (loss?.kind.case === "never") return null;
  return toMs(loss?.kind.value) ?? default_ms;
}

function unmetText(explanation: Parameters<typeof unmetConstraintText>[0], organization: Organization): string {
  return unmetConstraintText(explanation, { organizationName: organization.name });
}
