import type { Sql } from "../store/database.ts";
import { lastRevocation, listLiveKeys, listRevocations, type RevocationReason } from "../store/identities.ts";

export type RevocationDeps = {
  sql: Sql;
  /** The keys of the certificates with which a runner is connected here. */
  keysOf: (runnerId: string) => readonly string[];
  /** Ends what a runner has open here, by these keys. */
  disconnect: (runnerId: string, reason: RevocationReason, keys: readonly string[]) => Promise<void> | void;
  disconnectAll: (why: string) => void;
};

/** For how long a replica may go without reading revocations before it trusts no runner any more. */
const blindLimit_ms = 1000;
/** Of which the last part is waited for by itself: where the machine stood still, the answer gets as long to arrive. */
const lastLook_ms = 100;
/** A row's number is drawn before it is visible, so the reader looks back this far for ones that came late. */
const lookBack = 100n;

/**
 * Ends the sessions of revoked runners on this replica, and those of superseded identities; a replica that cannot read revocations ends
 * them all.
 */
export async function openRevocationReader(deps: RevocationDeps): Promise<{ run: () => Promise<void> }> {
  let cursor = await lastRevocation(deps.sql);
  const seen = new Set<bigint>();
  for (const { number } of await listRevocations(deps.sql, cursor - lookBack)) seen.add(number);
  let read_ms = performance.now();
  const blind = () => {
    if (performance.now() - read_ms > blindLimit_ms)
      deps.disconnectAll("revocations cannot be read: runners are let in again when they can");
  };
  /** What is live now stays, whatever has happened since the row was written: its runner may have enrolled anew. */
  const endedKeys = async (runnerId: string): Promise<readonly string[]> => {
    const keys = deps.keysOf(runnerId);
    const live = new Set(await listLiveKeys(deps.sql, keys));
    return keys.filter((key) => !live.has(key));
  };
  return {
    async run() {
      let watchdog = setTimeout(() => (watchdog = setTimeout(blind, lastLook_ms)), blindLimit_ms - lastLook_ms);
      try {
        const rows = await listRevocations(deps.sql, cursor - lookBack);
        read_ms = performance.now();
        for (const { number, runnerId, reason } of rows) {
          if (seen.has(number)) continue;
          const keys = await endedKeys(runnerId);
          if (keys.length > 0) await deps.disconnect(runnerId, reason, keys);
          // Where the keys could not be read, it is done the next time.
          seen.add(number);
          if (number > cursor) cursor = number;
        }
        for (const number of seen) if (number <= cursor - lookBack) seen.delete(number);
      } finally {
        clearTimeout(watchdog);
        blind();
      }
    },
  };
}
