import type { HandlerContext } from "@connectrpc/connect";
import type { AuditEvent } from "../store/audit-events.ts";
import { sourceKey, userOf } from "./context.ts";

/** The audit event of a call that did what it was asked: by its user, from its address. What nobody said is no detail of it. */
export function auditOf(
  context: Pick<HandlerContext, "values">,
  event: Omit<AuditEvent, "actor" | "source" | "outcome">,
): AuditEvent {
  const details = Object.fromEntries(Object.entries(event.details ?? {}).filter(([, value]) => value !== ""));
  return { ...event, details, actor: userOf(context).userId, source: context.values.get(sourceKey), outcome: "ok" };
}
