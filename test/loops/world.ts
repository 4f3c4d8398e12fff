import pino from "pino";
import { openFleetState } from "../../server/src/loops/fleet-state.ts";
import type { PlacerDeps } from "../../server/src/loops/placer.ts";
import { createPlacer } from "../../server/src/loops/place-workloads.ts";
import { createSecureRandom } from "../../server/src/secure-random.ts";
import type { Sql } from "../../server/src/store/database.ts";
import { createId } from "../../wire/ids.ts";

/** A placer over a real store, as a replica of its own, to which no runner is connected. */
export async function openPlacer(sql: Sql, own: Partial<PlacerDeps> = {}) {
  const writer = { replicaId: createId("replica"), storeEpoch: 1 };
  const fleet = await openFleetState(sql, writer.replicaId);
  const placer = createPlacer({
    sql,
    writer,
    fleet,
    onBegin: async () => undefined,
    random: createSecureRandom(),
    log: pino({ level: "silent" }),
    leaderLease_ms: 60_000,
    pendingLimits: { maximumWorkloads: 100_000, maximum_bytes: 2 ** 30 },
    deliver: () => undefined,
    isHere: () => false,
    failUnreadable: () => undefined,
    announcePending: () => undefined,
    ...own,
  });
  return { writer, fleet, placer };
}
