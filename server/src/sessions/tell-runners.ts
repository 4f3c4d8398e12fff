import type { MasterKey } from "../identity/master-key.ts";
import type { WorkloadHead, WorkloadRow } from "../store/workloads.ts";
import type { Placement } from "./place-message.ts";
import { sendPlacement, sendStop, tell } from "./run-session.ts";
import type { SessionRegistry } from "./session-registry.ts";

export type TellDeps = {
  registry: SessionRegistry;
  masterKey: MasterKey;
  /** A record cannot be read, so that nothing of it was sent. */
  onUnreadable: (of: { id: string; fence: bigint }, cause: unknown) => void;
  /** The runner is not connected here: another replica, which holds its session, is to look. */
  onElsewhere: () => void;
  /** The runner is connected here, but what it is to hear was not read: the delivery loop is to look. */
  onUnread: () => void;
};

/** Brings to runners' sessions what has just been written; what it cannot, the delivery loops read. */
export function createTeller({ registry, masterKey, onUnreadable, onElsewhere, onUnread }: TellDeps) {
  const orUnreadable = (of: { id: string; fence: bigint }, send: () => void) => {
    try {
      send();
    } catch (error) {
      onUnreadable(of, error);
    }
  };
  return {
    /** What a runner has not heard of a workload. */
    tell(row: WorkloadRow): void {
      const session = row.runnerId === null ? undefined : registry.get(row.runnerId);
      if (session) orUnreadable(row, () => tell(session, row, masterKey));
      else onElsewhere();
    },
    /** A placement; `spec` null: it was not read. */
    place({ spec, ...placement }: Omit<Placement, "spec"> & { runnerId: string; spec: Uint8Array | null }): void {
      const session = registry.get(placement.runnerId);
      if (!session) onElsewhere();
      else if (spec) orUnreadable(placement, () => sendPlacement(session, { ...placement, spec }, masterKey));
      else onUnread();
    },
    /** That a workload is to stop, to a runner that is connected here. */
    stop(row: WorkloadHead): void {
      const session = row.runnerId === null ? undefined : registry.get(row.runnerId);
      if (session) sendStop(session, row);
    },
  };
}
