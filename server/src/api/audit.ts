import type { HandlerContext } from "@connectrpc/connect";
import type { AuditEvent } from "../store/audit-events.ts";
import { sourceKey, userOf } from "./context.ts";

/** The audit event of a call that did what it was asked: by its user, from its address. */
export function auditOf(
  context: Pick<HandlerContext, "values">,
  event: Omit<AuditEvent, "actor" | "source" | "outcome">,
): AuditEvent {
  return { ...event, actor: userOf(context).userId, source: context.values.get(sourceKey), outcome: "ok" };
}
