import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuditService } from "../../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import { listAuditEvents } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { toPage } from "../store/paging.ts";
import { targetOf } from "./context.ts";

/** Who did what. */
export function createAuditService({ sql }: { sql: Sql }): ServiceImpl<typeof AuditService> {
  return {
    async listAuditEvents(request, context) {
      const { scope } = targetOf(context, "scope");
      const { objectId, action } = request;
      const { rows, nextToken } = await listAuditEvents(sql, { scope, objectId, action }, toPage(request));
      const auditEvents = rows.map(({ time, ...event }) => ({
        id: event.id,
        time: timestampFromDate(time),
        actor: event.actor,
        action: event.action,
        objectId: event.objectId,
        objectName: event.objectName,
        source: event.source,
        outcome: event.outcome,
        details: event.details,
      }));
      return { auditEvents, nextPageToken: nextToken };
    },
  };
}
