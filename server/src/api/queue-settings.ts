import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { QueueService } from "../../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import type { UserCaller } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import type { QueueState } from "../loops/queue-state.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import type { Organization } from "../store/organizations.ts";
import {
  getQueueLimits,
  pauseQueue,
  resumeQueue,
  updateQueueLimits,
  updateQueueWeight,
  type QueuePause,
} from "../store/queue-settings.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { resolveProjectOf } from "./references.ts";

export type QueueSettingsDeps = {
  sql: Sql;
  state: QueueState;
  /** Limits or pauses changed. */
  onQueueChanged: () => void;
};

type SettingsMethod =
  | "getQueueSettings"
  | "updateQueueSettings"
  | "setQueueWeight"
  | "pauseQueue"
  | "resumeQueue"
  | "pauseClusterQueue"
  | "resumeClusterQueue";

/** What orders and bounds queues: limits, weights, pauses. */
export function createQueueSettings(deps: QueueSettingsDeps): Pick<ServiceImpl<typeof QueueService>, SettingsMethod> {
  const { sql, state } = deps;
  return {
    async getQueueSettings(_request, context) {
      return settings(targetOf(context, "organization").organization.id);
    },

    async updateQueueSettings(request, context) {
      const { organization } = targetOf(context, "organization");
      const { maximumRunningJobs, maximumQueuedJobs } = request;
      const limits = { maximumRunning: maximumRunningJobs ?? null, maximumQueued: maximumQueuedJobs ?? null };
      await sql.begin(async (transaction) => {
        await updateQueueLimits(transaction, organization.id, limits);
        const details = Object.fromEntries(Object.entries(limits).map(([name, value]) => [name, String(value)]));
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(organization), action: "queue.update", details }),
        );
      });
      deps.onQueueChanged();
      return settings(organization.id);
    },

    async setQueueWeight({ weight }, context) {
      const { organization } = targetOf(context, "organization");
      await sql.begin(async (transaction) => {
        await updateQueueWeight(transaction, organization.id, weight);
        const details = { weight: String(weight) };
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(organization), action: "queue.update", details }),
        );
      });
      deps.onQueueChanged();
      return settings(organization.id);
    },

    async pauseQueue(request, context) {
      const { organization } = targetOf(context, "organization");
      const scope = await scopeOf(userOf(context), organization, request.project);
      const pausedBy = userOf(context).userId;
      await sql.begin(async (transaction) => {
        await pauseQueue(transaction, { ...scope, organizationId: organization.id, reason: request.reason, pausedBy });
        const details = { scope: scope.scopeId, reason: request.reason };
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(organization), action: "queue.pause", details }),
        );
      });
      deps.onQueueChanged();
      return settings(organization.id);
    },

    async resumeQueue(request, context) {
      const { organization } = targetOf(context, "organization");
      const scope = await scopeOf(userOf(context), organization, request.project);
      await sql.begin(async (transaction) => {
        if (!(await resumeQueue(transaction, scope.scopeId))) throw new AgynError("STATE", "the queue is not paused");
        const details = { scope: scope.scopeId };
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(organization), action: "queue.resume", details }),
        );
      });
      deps.onQueueChanged();
      return settings(organization.id);
    },

    async pauseClusterQueue(request, context) {
      const { reason } = request;
      const pausedBy = userOf(context).userId;
      await sql.begin(async (transaction) => {
        await pauseQueue(transaction, { scopeId: "cluster", organizationId: null, reason, pausedBy });
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...cluster, action: "queue.pause", details: { reason } }),
        );
      });
      deps.onQueueChanged();
      return {};
    },

    async resumeClusterQueue(_request, context) {
      await sql.begin(async (transaction) => {
        if (!(await resumeQueue(transaction, "cluster"))) throw new AgynError("STATE", "the queue is not paused");
        await insertAuditEvent(transaction, auditOf(context, { ...cluster, action: "queue.resume" }));
      });
      deps.onQueueChanged();
      return {};
    },
  };

  async function settings(organizationId: string) {
    await state.refresh();
    const limits = await getQueueLimits(sql, organizationId);
    return {
      settings: {
        maximumRunningJobs: limits.maximumRunning,
        maximumQueuedJobs: limits.maximumQueued,
        weight: limits.weight,
        runningJobs: state.queue.running(organizationId),
        queuedJobs: state.queue.depth(organizationId),
        pauses: pausesOf(state.pauses, organizationId),
      },
    };
  }

  async function scopeOf(caller: UserCaller, organization: Organization, project: string) {
    return { scopeId: (await resolveProjectOf(sql, caller, project, organization.id))?.id ?? organization.id };
  }
}

/** Those in force for an organization, widest first. */
export function pausesOf(pauses: readonly QueuePause[], organizationId: string) {
  return pauses
    .filter((one) => one.organizationId === null || one.organizationId === organizationId)
    .map((one) => ({
      scope: one.scope,
      reason: one.reason,
      pausedBy: one.pausedBy,
      pauseTime: timestampFromDate(one.pauseTime),
    }));
}

const cluster = { scope: { kind: "cluster" as const }, objectId: "", objectName: "cluster" };

function about({ id, name }: Organization) {
  return { scope: { kind: "organization" as const, organizationId: id }, objectId: id, objectName: name };
}
