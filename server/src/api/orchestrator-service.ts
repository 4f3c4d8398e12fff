import type { ServiceImpl } from "@connectrpc/connect";
import type { OrchestratorService } from "../../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import type { PlacementsRequest, PlacementsResponse } from "../../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { Demand } from "../domain/demand.ts";
import { AgynError } from "../domain/errors.ts";
import { excludedAt, nobody } from "../domain/excluded.ts";
import { explain, type Explanation } from "../domain/explanation.ts";
import { unmetConstraintText } from "../domain/unmet-constraint.ts";
import { demandFromJson, isTerminal } from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import type { FleetState } from "../loops/fleet-state.ts";
import type { Placer } from "../loops/placer.ts";
import type { WatchFeed } from "../loops/watch-feed.ts";
import type { RunnerCaller, SessionLine } from "../sessions/open-session.ts";
import type { Sql } from "../store/database.ts";
import { getOrganization, type Organization } from "../store/organizations.ts";
import { toPage } from "../store/paging.ts";
import { getRunner } from "../store/runners.ts";
import { decreedEnding, endWorkloads, lostEnding, type Writer } from "../store/workload-transitions.ts";
import * as workloads from "../store/workloads.ts";
import type { WorkloadRow } from "../store/workloads.ts";
import { answersKey, runnerOf, targetOf, userOf } from "./context.ts";
import { resolveWorkload } from "./references.ts";
import { toMs } from "./runner-proto.ts";
import { createStartWorkload } from "./start-workload.ts";
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
  const start = createStartWorkload({
    ...deps,
    unmetText: (demand, organization) => unmetText(explained(demand, nobody, 1), organization),
  });
  const present = async (rows: readonly WorkloadRow[]) =>
    Promise.all(rows.map(async (row) => toWorkloadProto(row, await runnerName(row.runnerId))));
  const one = async (row: WorkloadRow) => ({ workload: toWorkloadProto(row, await runnerName(row.runnerId)) });

  return {
    async startWorkload(request, context) {
      return one(await start(request, targetOf(context, "organization").organization, userOf(context).userId));
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

function unmetText(explanation: Parameters<typeof unmetConstraintText>[0], organization: Organization): string {
  return unmetConstraintText(explanation, { organizationName: organization.name });
}
