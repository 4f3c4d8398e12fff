/* Takes a webhook: who sends it is verified and it is written down before the answer; what follows of it is worked later. */
import { createId } from "../../../wire/ids.ts";
import type { MasterKey } from "../identity/master-key.ts";
import type { Sql } from "../store/database.ts";
import { countWaiting, insertDelivery, noteSeen } from "../store/deliveries.ts";
import { getTrigger, type TriggerRow } from "../store/triggers.ts";
import { openSecret } from "./trigger-secret.ts";
import { verifyWebhook, type WebhookRequest } from "./webhook-request.ts";

export type AcceptDeps = {
  sql: Sql;
  masterKey: MasterKey;
  /** Whether one more refusal of the trigger goes into its log: whoever knows the address could fill it. */
  mayLog: (triggerId: string) => boolean;
  /** A delivery waits to be worked. */
  onAccepted: () => void;
};

/** What the sender is told. */
export type Acceptance = {
  status: 202 | 400 | 401 | 415 | 429;
  body: { delivery?: string; duplicate_of?: string; error?: string };
};

/** Deliveries of one trigger that wait. */
export const waitingLimit = 1000;

/** The webhook of an id; undefined where there is none. */
export async function findWebhook(sql: Sql, id: string): Promise<TriggerRow | undefined> {
  const trigger = await getTrigger(sql, id);
  return trigger?.config.source.kind === "webhook" ? trigger : undefined;
}

/**
 * Verifies a webhook and writes it down before it is answered; what it starts is worked out later. Nothing is written of one that
 * is refused, but that it was.
 */
export async function acceptWebhook(
  deps: AcceptDeps,
  trigger: TriggerRow,
  request: WebhookRequest,
): Promise<Acceptance> {
  const { sql, masterKey } = deps;
  const { source } = trigger.config;
  if (source.kind !== "webhook") throw new Error(`trigger ${trigger.id} is no webhook`);
  const secret = openSecret(trigger, masterKey);
  const outcome = verifyWebhook(request, { forge: source.forge, secret, now_ms: Date.now() });
  const log = { triggerId: trigger.id, slot: null, runId: "", redeliveryOf: "", payload: null } as const;
  if ("refused" in outcome) {
    const { status, rule, reason } = outcome.refused;
    if (deps.mayLog(trigger.id)) {
      const refused = { state: "refused", reason: `${rule}: ${reason}`, senderId: "", event: "" } as const;
      await insertDelivery(sql, { ...log, id: createId("delivery"), ...refused });
    }
    return { status, body: { error: reason } };
  }
  const { verified } = outcome;
  const about = { senderId: verified.id, event: verified.event };
  if ((await countWaiting(sql, trigger.id, waitingLimit)) >= waitingLimit) {
    return { status: 429, body: { error: `${waitingLimit} deliveries of this trigger wait already: try again later` } };
  }
  const id = createId("delivery");
  const earlier = await sql.begin(async (transaction) => {
    const seen = await noteSeen(transaction, { triggerId: trigger.id, hashes: verified.hashes, deliveryId: id });
    if (seen !== undefined) return seen;
    const run = { payload: verified.payloadBytes, runId: createId("run") };
    await insertDelivery(transaction, { ...log, id, ...about, state: "waiting", reason: "", ...run });
    return undefined;
  });
  if (earlier !== undefined) {
    if (deps.mayLog(trigger.id)) {
      const reason = `replay: ${earlier} brought it before`;
      await insertDelivery(sql, { ...log, id, ...about, state: "refused", reason });
    }
    return { status: 202, body: { duplicate_of: earlier } };
  }
  deps.onAccepted();
  return { status: 202, body: { delivery: id } };
}
