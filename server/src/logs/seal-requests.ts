import { setTimeout as pause } from "node:timers/promises";
import type { Sql } from "../store/database.ts";
import type { Notifications } from "../store/notifications.ts";
import * as requests from "../store/seal-requests.ts";
import type { LogKey } from "./segment-index.ts";

/** What replicas ask of each other: lines that were acknowledged but not sealed lie in one replica's journal only. */
export interface SealRequests {
  /** Resolves when another replica has sealed what it holds of the log, or after a bounded time; at once where there is no other. */
  ask(key: LogKey, why: "read" | "append"): Promise<void>;
  /** Seals what others ask for. `seal` answers whether there was anything to seal. */
  answer(seal: (key: LogKey) => Promise<boolean>): Promise<void>;
}

export type SealRequestsDeps = {
  sql: Sql;
  replicaId: string;
  notifications: Pick<Notifications, "send" | "hearsOthers">;
};

/** How long a reader, or a runner, waits for another replica. */
const answerTimeout_ms = 2000;
const lookPeriod_ms = 25;

/**
 * Asks the replicas that may have the newest lines of a log to seal them; who wants the same log meanwhile waits for the same answer.
 */
export function createSealRequests({ sql, replicaId, notifications }: SealRequestsDeps): SealRequests {
  /** Those under way: who wants the same log waits for the same answer. */
  const asking = new Map<string, Promise<void>>();

  const askOthers = async (key: LogKey, why: "read" | "append") => {
    const ofReplicaId = why === "append" ? "" : await requests.findSessionReplica(sql, key.workloadId);
    // A runner that is connected here has its newest lines here.
    if (ofReplicaId === replicaId) return;
    const id = await requests.insertSealRequest(sql, {
      ...key,
      ofReplicaId: ofReplicaId ?? "",
      byReplicaId: replicaId,
    });
    notifications.send("seals");
    const deadline_ms = performance.now() + answerTimeout_ms;
    while (performance.now() < deadline_ms && !(await requests.isSealRequestAnswered(sql, id)))
      await pause(lookPeriod_ms);
    await requests.deleteSealRequest(sql, id);
  };

  return {
    async ask(key, why) {
      if (!notifications.hearsOthers) return;
      const name = `${why} ${key.workloadId} ${key.fence}`;
      const asked = asking.get(name) ?? askOthers(key, why).finally(() => asking.delete(name));
      asking.set(name, asked);
      await asked;
    },
    async answer(seal) {
      for (const { id, ofReplicaId, ...key } of await requests.listSealRequests(sql, replicaId)) {
        const hadLines = await seal(key);
        if (hadLines || ofReplicaId === replicaId) await requests.answerSealRequest(sql, id);
      }
    },
  };
}
