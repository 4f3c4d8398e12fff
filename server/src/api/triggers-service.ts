import type { ServiceImpl } from "@connectrpc/connect";
import type { TriggersService } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import type { TriggerConfig } from "../domain/trigger-config.ts";
import { startRun, type RunRequest, type StartedRun } from "../runs/start-run.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { insertAuditEvent, type AuditEvent } from "../store/audit-events.ts";
import { getDelivery, insertDelivery, listDeliveries } from "../store/deliveries.ts";
import { claimIdempotencyKey } from "../store/idempotency-keys.ts";
import { toPage } from "../store/paging.ts";
import { getProject } from "../store/projects.ts";
import { getRun, type RunRow } from "../store/runs.ts";
import * as triggers from "../store/triggers.ts";
import { isUniqueViolation } from "../store/unique.ts";
import { checkConfig, dueAfter } from "../triggers/check-config.ts";
import { createSecret, sealCredential } from "../triggers/trigger-secret.ts";
import type { WorkDeps } from "../triggers/work-delivery.ts";
import { StartTriggerRunRequestSchema } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { auditOf } from "./audit.ts";
import { sourceKey, targetOf, triggerTokenOf, userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { resolveProjectOf } from "./references.ts";
import { hashRequest } from "./request-hash.ts";
import { toRunProto } from "./run-proto.ts";
import { testTrigger } from "./test-trigger.ts";
import { configFromProto, toDeliveryProto, toTriggerProto } from "./trigger-proto.ts";
import { createTriggerTokens } from "./trigger-tokens-service.ts";

export type TriggersDeps = WorkDeps & {
  /** Schedules came or changed, or a delivery waits. */
  onChanged: () => void;
};

/** Triggers, their deliveries and tokens; secrets are shown once, when they are made. */
export function createTriggersService(deps: TriggersDeps): ServiceImpl<typeof TriggersService> {
  const { sql, masterKey, onChanged } = deps;

  const present = async (id: string, reference: string) => {
    const row = await triggers.getTrigger(sql, id);
    if (!row) throw notFound("trigger", reference);
    return { trigger: toTriggerProto(row, await triggers.listVersions(sql, id)) };
  };
  /** When a trigger as it stands now comes due. */
  const reschedule = async (transaction: SqlOrTransaction, id: string) => {
    const row = await triggers.getTrigger(transaction, id);
    if (!row) throw notFound("trigger", id);
    const next_ms = row.enabled ? dueAfter(row.config, Date.now()) : undefined;
    await triggers.setNextTime(transaction, id, next_ms === undefined ? null : new Date(next_ms));
  };
  const setEnabled = async (row: triggers.TriggerRow, version: number | undefined, enabled: boolean) => {
    await sql.begin(async (transaction) => {
      await triggers.lockTrigger(transaction, row.id);
      const count = await triggers.setEnabled(transaction, row.id, { version, enabled });
      if (count === 0) throw invalidField("version", `trigger ${row.name} has no version ${version}`);
      await reschedule(transaction, row.id);
    });
    onChanged();
  };

  return {
    ...createTriggerTokens(sql),

    async createTrigger(request, context) {
      const { project } = targetOf(context, "project");
      refuseIdAsName("trigger", request.name);
      const config = configOf(request.config);
      const id = createId("trigger");
      const made = config.source.kind === "webhook" ? createSecret(id, masterKey) : undefined;
      const due_ms = dueAfter(config, Date.now());
      const row = await sql.begin(async (transaction) => {
        const inserted = await triggers.insertTrigger(transaction, {
          id,
          organizationId: project.organizationId,
          projectId: project.id,
          name: request.name,
          sealedSecret: made?.sealed ?? null,
          nextTime: due_ms === undefined ? null : new Date(due_ms),
          config,
          createdBy: userOf(context).userId,
        });
        await insertAuditEvent(transaction, auditOf(context, { ...about(inserted), action: "trigger.create" }));
        return inserted;
      });
      onChanged();
      return { ...(await present(row.id, row.name)), secret: made?.secret ?? "" };
    },

    getTrigger(request, context) {
      return present(targetOf(context, "trigger").trigger.id, request.trigger);
    },

    async listTriggers(request, context) {
      const { organization } = targetOf(context, "organization");
      const project =
        request.project === ""
          ? undefined
          : await resolveProjectOf(sql, userOf(context), request.project, organization.id);
      const of = { organizationId: organization.id, projectId: project?.id ?? "" };
      const { rows, nextToken } = await triggers.listTriggers(sql, of, toPage(request));
      return { triggers: rows.map((row) => toTriggerProto(row)), nextPageToken: nextToken };
    },

    async updateTrigger(request, context) {
      const { trigger } = targetOf(context, "trigger");
      const config = configOf(request.config);
      if (config.source.kind !== trigger.config.source.kind) {
        throw invalidField("config", `trigger ${trigger.name} is a ${trigger.config.source.kind} and stays one`);
      }
      await sql.begin(async (transaction) => {
        const newest = await triggers.lockTrigger(transaction, trigger.id);
        if (newest === 0) throw notFound("trigger", request.trigger);
        if (request.ifVersion !== 0 && request.ifVersion !== newest) {
          throw new AgynError("STATE", `trigger ${trigger.name} has version ${newest} by now: look at it again`);
        }
        const version = newest + 1;
        const { userId: createdBy } = userOf(context);
        await triggers.insertVersion(transaction, { triggerId: trigger.id, version, config, createdBy });
        await reschedule(transaction, trigger.id);
        const details = { version: String(version) };
        await insertAuditEvent(transaction, auditOf(context, { ...about(trigger), action: "trigger.update", details }));
      });
      onChanged();
      return present(trigger.id, request.trigger);
    },

    async enableTrigger(request, context) {
      const { trigger } = targetOf(context, "trigger");
      const [newest] = await triggers.listVersions(sql, trigger.id);
      await setEnabled(trigger, request.version || newest?.version, true);
      const details = { version: String(request.version || newest?.version) };
      await insertAuditEvent(sql, auditOf(context, { ...about(trigger), action: "trigger.enable", details }));
      return present(trigger.id, request.trigger);
    },

    async disableTrigger(request, context) {
      const { trigger } = targetOf(context, "trigger");
      await setEnabled(trigger, request.version || undefined, false);
      const details = { version: request.version === 0 ? "all" : String(request.version) };
      await insertAuditEvent(sql, auditOf(context, { ...about(trigger), action: "trigger.disable", details }));
      return present(trigger.id, request.trigger);
    },

    async deleteTrigger(_request, context) {
      const { trigger } = targetOf(context, "trigger");
      await sql.begin(async (transaction) => {
        await triggers.deleteTrigger(transaction, trigger.id);
        await insertAuditEvent(transaction, auditOf(context, { ...about(trigger), action: "trigger.delete" }));
      });
      return {};
    },

    async rotateTriggerSecret(_request, context) {
      const { trigger } = targetOf(context, "trigger");
      if (trigger.config.source.kind !== "webhook") throw new AgynError("STATE", "a schedule has no secret");
      const { secret, sealed } = createSecret(trigger.id, masterKey);
      await sql.begin(async (transaction) => {
        await triggers.setSecret(transaction, trigger.id, sealed);
        await insertAuditEvent(transaction, auditOf(context, { ...about(trigger), action: "trigger.rotate_secret" }));
      });
      return { secret };
    },

    async setTriggerCredential(request, context) {
      const { trigger } = targetOf(context, "trigger");
      const sealed = sealCredential(trigger.id, request.credential, masterKey);
      await sql.begin(async (transaction) => {
        await triggers.setCredential(transaction, trigger.id, sealed);
        await insertAuditEvent(transaction, auditOf(context, { ...about(trigger), action: "trigger.set_credential" }));
      });
      return {};
    },

    async testTrigger(request, context) {
      const { trigger } = targetOf(context, "trigger");
      const answer = await testTrigger(deps, trigger, request);
      if (request.start) await insertAuditEvent(sql, auditOf(context, { ...about(trigger), action: "trigger.test" }));
      return answer;
    },

    async listDeliveries(request, context) {
      const { trigger } = targetOf(context, "trigger");
      const { rows, nextToken } = await listDeliveries(sql, trigger.id, toPage(request));
      return { deliveries: rows.map(toDeliveryProto), nextPageToken: nextToken };
    },

    async redeliverDelivery(request, context) {
      const { trigger } = targetOf(context, "trigger");
      const found = await getDelivery(sql, { triggerId: trigger.id, id: request.deliveryId });
      if (!found) throw notFound("delivery", request.deliveryId);
      if (!found.payload && !found.slot) {
        throw new AgynError("STATE", `delivery ${found.id} was not accepted, and what it brought is not kept`);
      }
      const again = { id: createId("delivery"), runId: createId("run"), redeliveryOf: found.id };
      const made = await insertDelivery(sql, { ...found, ...again, state: "waiting", reason: "" });
      const details = { delivery_id: found.id };
      await insertAuditEvent(sql, auditOf(context, { ...about(trigger), action: "trigger.redeliver", details }));
      onChanged();
      return { delivery: toDeliveryProto(made!) };
    },

    async startTriggerRun(request, context) {
      const token = triggerTokenOf(context);
      const project = await getProject(sql, token.projectId);
      if (!project) throw notFound("project", token.projectId);
      const { organizationId } = token;
      const id = await claimRunId(request.idempotencyKey, () => ({
        ...{ organizationId, method: `StartTriggerRun/${project.id}`, key: request.idempotencyKey },
        requestHash: hashRequest(StartTriggerRunRequestSchema, request),
      }));
      const earlier = id.isNew ? undefined : await getRun(sql, id.text);
      if (earlier) return { run: toRunProto(earlier) };
      const { pipeline, ref, inputs, labels, name, priority } = request;
      const asked: RunRequest = {
        ...{ organizationId, project, pipeline, ref, inputs, labels, name, priority },
        ...{ content: new Uint8Array(), bundleDigest: "", event: null },
        cause: { kind: "token", userId: "", triggerId: token.tokenId, deliveryId: "", event: "" },
      };
      const event = { scope: { kind: "organization", organizationId }, action: "run.start", outcome: "ok" } as const;
      const from = { actor: token.tokenId, source: context.values.get(sourceKey) };
      const run = await startOnce(asked, id.text, ({ id: objectId, number }) => {
        return { ...event, ...from, objectId, objectName: String(number) };
      });
      return { run: toRunProto(run) };
    },
  };

  async function claimRunId(key: string, claim: () => Omit<Parameters<typeof claimIdempotencyKey>[1], "objectId">) {
    const objectId = createId("run");
    const text = key === "" ? objectId : await claimIdempotencyKey(sql, { ...claim(), objectId });
    return { text, isNew: text === objectId };
  }

  /** Of calls with one key at the same time the quicker starts it. */
  async function startOnce(request: RunRequest, id: string, eventOf: (run: StartedRun) => AuditEvent): Promise<RunRow> {
    return startRun(deps, request, id, eventOf).catch(async (error: unknown) => {
      const quicker = isUniqueViolation(error) ? await getRun(sql, id) : undefined;
      if (!quicker) throw error;
      return quicker;
    });
  }
}

function configOf(proto: Parameters<typeof configFromProto>[0] | undefined): TriggerConfig {
  if (!proto) throw invalidField("config", "is required");
  const config = configFromProto(proto);
  const violations = checkConfig(config, Date.now());
  if (violations.length === 0) return config;
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  throw new AgynError("INVALID_ARGUMENT", text, { violations });
}

function about({ id, name, projectName, organizationId }: triggers.TriggerRow) {
  const scope = { kind: "organization" as const, organizationId };
  return { scope, objectId: id, objectName: `${projectName}/${name}` };
}
