import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { TriggersService } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import type { TriggerConfig } from "../domain/trigger-config.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import { getDelivery, insertDelivery, listDeliveries } from "../store/deliveries.ts";
import { toPage } from "../store/paging.ts";
import * as triggers from "../store/triggers.ts";
import { checkConfig, dueAfter } from "../triggers/check-config.ts";
import { createSecret, sealCredential } from "../triggers/trigger-secret.ts";
import type { WorkDeps } from "../triggers/work-delivery.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { resolveProjectOf } from "./references.ts";
import { testTrigger } from "./test-trigger.ts";
import { configFromProto, toDeliveryProto, toTriggerProto } from "./trigger-proto.ts";
import { createTriggerRun } from "./trigger-run.ts";
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
  /** Changes the target, as far as it is there, and says so in the audit, in one transaction. `write` answers the event's details. */
  const change = async (
    context: HandlerContext,
    action: string,
    write: (transaction: SqlOrTransaction, held: HeldTrigger) => Promise<Record<string, string> | undefined>,
  ) => {
    const { trigger } = targetOf(context, "trigger");
    await sql.begin(async (transaction) => {
      const newest = await triggers.lockTrigger(transaction, trigger.id);
      if (newest === 0) throw notFound("trigger", trigger.name);
      const details = await write(transaction, { ...trigger, newest });
      const event = { ...about(trigger), action: `trigger.${action}`, ...(details && { details }) };
      await insertAuditEvent(transaction, auditOf(context, event));
    });
    onChanged();
    return trigger;
  };

  return {
    ...createTriggerTokens(sql),
    ...createTriggerRun(deps),

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
      const project = await resolveProjectOf(sql, userOf(context), request.project, organization.id);
      const of = { organizationId: organization.id, projectId: project?.id ?? "" };
      const { rows, nextToken } = await triggers.listTriggers(sql, of, toPage(request));
      return { triggers: rows.map((row) => toTriggerProto(row)), nextPageToken: nextToken };
    },

    async updateTrigger(request, context) {
      const config = configOf(request.config);
      const { userId: createdBy } = userOf(context);
      const { id } = await change(context, "update", async (transaction, { newest, ...trigger }) => {
        if (config.source.kind !== trigger.config.source.kind)
          throw invalidField("config", `trigger ${trigger.name} is a ${trigger.config.source.kind} and stays one`);
        if (request.ifVersion !== 0 && request.ifVersion !== newest)
          throw new AgynError("STATE", `trigger ${trigger.name} has version ${newest} by now: look at it again`);
        const version = newest + 1;
        await triggers.insertVersion(transaction, { triggerId: trigger.id, version, config, createdBy });
        await reschedule(transaction, trigger.id);
        return { version: String(version) };
      });
      return present(id, request.trigger);
    },

    async enableTrigger(request, context) {
      const { id } = await change(context, "enable", async (transaction, trigger) => {
        const version = request.version || trigger.newest;
        await setEnabled(transaction, trigger, { version, enabled: true });
        return { version: String(version) };
      });
      return present(id, request.trigger);
    },

    async disableTrigger(request, context) {
      const { id } = await change(context, "disable", async (transaction, trigger) => {
        const version = request.version || undefined;
        await setEnabled(transaction, trigger, { version, enabled: false });
        return { version: version === undefined ? "all" : String(version) };
      });
      return present(id, request.trigger);
    },

    async deleteTrigger(_request, context) {
      await change(context, "delete", async (transaction, { id }) => {
        await triggers.deleteTrigger(transaction, id);
        return undefined;
      });
      return {};
    },

    async rotateTriggerSecret(_request, context) {
      const { trigger } = targetOf(context, "trigger");
      if (trigger.config.source.kind !== "webhook") throw new AgynError("STATE", "a schedule has no secret");
      const { secret, sealed } = createSecret(trigger.id, masterKey);
      await change(context, "rotate_secret", async (transaction, { id }) => {
        await triggers.setSecret(transaction, id, sealed);
        return undefined;
      });
      return { secret };
    },

    async setTriggerCredential(request, context) {
      await change(context, "set_credential", async (transaction, { id }) => {
        await triggers.setCredential(transaction, id, sealCredential(id, request.credential, masterKey));
        return undefined;
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
      const made = await sql.begin(async (transaction) => {
        const details = { delivery_id: found.id };
        const event = { ...about(trigger), action: "trigger.redeliver", details };
        await insertAuditEvent(transaction, auditOf(context, event));
        return insertDelivery(transaction, { ...found, ...again, state: "waiting", reason: "" });
      });
      onChanged();
      return { delivery: toDeliveryProto(made!) };
    },
  };
}

/** A trigger whose versions stay as they are until the transaction ends. */
type HeldTrigger = triggers.TriggerRow & { newest: number };

/** `version` undefined: all of them. */
async function setEnabled(
  transaction: SqlOrTransaction,
  { id, name }: HeldTrigger,
  { version, enabled }: { version: number | undefined; enabled: boolean },
): Promise<void> {
  const count = await triggers.setEnabled(transaction, id, { version, enabled });
  if (count === 0) throw invalidField("version", `trigger ${name} has no version ${version}`);
  await reschedule(transaction, id);
}

/** When a held trigger as it stands now comes due. */
async function reschedule(transaction: SqlOrTransaction, id: string): Promise<void> {
  const { enabled, config } = (await triggers.getTrigger(transaction, id))!;
  const next_ms = enabled ? dueAfter(config, Date.now()) : undefined;
  await triggers.setNextTime(transaction, id, next_ms === undefined ? null : new Date(next_ms));
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
