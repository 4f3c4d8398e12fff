import type { Sql } from "../store/database.ts";
import { lastRevocation, listRevocations } from "../store/identities.ts";

export type RevocationDeps = {
  sql: Sql;
  /** Ends what a runner has open here. */
  disconnect: (runnerId: string, reason: string) => void;
  disconnectAll: (why: string) => void;
};

/** For how long a replica may go without reading revocations before it trusts no runner any more. */
const blindLimit_ms = 1000;
/** A row's number is drawn before it is visible, so the reader looks back this far for ones that came late. */
const lookBack = 100n;

/** Ends the sessions of revoked runners on this replica; one that cannot read revocations ends them all. */
export async function openRevocationReader(deps: RevocationDeps): Promise<{ run: () => Promise<void> }> {
  let cursor = await lastRevocation(deps.sql);
  const seen = new Set<bigint>();
  for (const { number } of await listRevocations(deps.sql, cursor - lookBack)) seen.add(number);
  let read_ms = performance.now();
  const blind = () => {
    if (performance.now() - read_ms > blindLimit_ms)
      deps.disconnectAll("revocations cannot be read: runners are let in again when they can");
  };
  return {
    async run() {
      const watchdog = setTimeout(blind, blindLimit_ms);
      try {
        const rows = await listRevocations(deps.sql, cursor - lookBack);
        read_ms = performance.now();
        for (const { number, runnerId, reason } of rows) {
          if (seen.has(number)) continue;
          seen.add(number);
          deps.disconnect(runnerId, reason);
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
