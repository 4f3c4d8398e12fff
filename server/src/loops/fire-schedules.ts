import { createId } from "../../../wire/ids.ts";
import type { Sql } from "../store/database.ts";
import { insertDelivery } from "../store/deliveries.ts";
import { holdDueSchedules, moveSchedule } from "../store/triggers.ts";
import { dueNow } from "../triggers/check-config.ts";

export type FireDeps = {
  sql: Sql;
  leads: () => boolean;
  now: () => Date;
  /** A delivery waits to be worked. */
  onFired: () => void;
};

/** Schedules taken care of in one transaction. */
const batch = 100;

/**
 * One turn of the loop that writes a delivery for each time of a schedule that has come (I10). The time stands in the delivery, once for
 * each schedule, and the schedule moves on in the same transaction: leaders that run at once fire a time once.
 */
export function createScheduleFirer({ sql, leads, now, onFired }: FireDeps): () => Promise<void> {
  const fire = () =>
    sql.begin(async (transaction) => {
      const due = await holdDueSchedules(transaction, batch);
      for (const trigger of due) {
        const { slot_ms, next_ms } = dueNow(trigger.config, {
          due_ms: trigger.nextTime!.getTime(),
          now_ms: now().getTime(),
        });
        if (slot_ms !== undefined && trigger.enabled) {
          await insertDelivery(transaction, {
            id: createId("delivery"),
            triggerId: trigger.id,
            senderId: "",
            event: "schedule",
            payload: null,
            slot: new Date(slot_ms),
            state: "waiting",
            reason: "",
            runId: createId("run"),
            redeliveryOf: "",
          });
        }
        const next = next_ms !== undefined && trigger.enabled ? new Date(next_ms) : null;
        await moveSchedule(transaction, trigger.id, next);
      }
      return due.length;
    });
  return async () => {
    while (leads()) {
      const count = await fire();
      if (count > 0) onFired();
      if (count < batch) return;
    }
  };
}
