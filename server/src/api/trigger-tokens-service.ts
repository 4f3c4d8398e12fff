import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { TriggersService } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { notFound } from "../domain/errors.ts";
import { createTriggerToken } from "../identity/access-token.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { toPage } from "../store/paging.ts";
import {
  insertTriggerToken,
  listTriggerTokens,
  revokeTriggerToken,
  type TriggerToken,
} from "../store/trigger-tokens.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { toTriggerTokenProto } from "./trigger-proto.ts";

type TokenMethods = "createTriggerToken" | "listTriggerTokens" | "revokeTriggerToken";

/** The part of the service that hands out tokens. */
export function createTriggerTokens(sql: Sql): Pick<ServiceImpl<typeof TriggersService>, TokenMethods> {
  return {
    async createTriggerToken(request, context) {
      const { project } = targetOf(context, "project");
      refuseIdAsName("triggerToken", request.name);
      const { id, hash, text } = createTriggerToken();
      const expireTime = request.lifetime ? new Date(Date.now() + durationMs(request.lifetime)) : null;
      const { id: projectId, organizationId } = project;
      const createdBy = userOf(context).userId;
      const token = await sql.begin(async (transaction) => {
        const made = { id, organizationId, projectId, name: request.name, createdBy, expireTime, hash };
        const inserted = await insertTriggerToken(transaction, made);
        await insertAuditEvent(transaction, auditOf(context, { ...about(inserted), action: "trigger_token.create" }));
        return inserted;
      });
      return { triggerToken: toTriggerTokenProto(token), token: text };
    },

    async listTriggerTokens(request, context) {
      const { project } = targetOf(context, "project");
      const { rows, nextToken } = await listTriggerTokens(sql, project.id, toPage(request));
      return { triggerTokens: rows.map(toTriggerTokenProto), nextPageToken: nextToken };
    },

    async revokeTriggerToken(request, context) {
      const { project } = targetOf(context, "project");
      const token = await sql.begin(async (transaction) => {
        const revoked = await revokeTriggerToken(transaction, project.id, request.triggerToken);
        if (!revoked) throw notFound("trigger token", request.triggerToken);
        await insertAuditEvent(transaction, auditOf(context, { ...about(revoked), action: "trigger_token.revoke" }));
        return revoked;
      });
      return { triggerToken: toTriggerTokenProto(token) };
    },
  };
}

function about({ id, name, organizationId }: TriggerToken) {
  return { scope: { kind: "organization" as const, organizationId }, objectId: id, objectName: name };
}
