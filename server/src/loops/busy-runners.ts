/**
 * Which runners became busy or idle: nothing that the store holds, since no row of a runner changes when its workloads do. It costs a
 * placement an entry at most, and is read at the pace of whoever reads it.
 */
export interface BusyRunners {
  /** A runner that was idle has become busy, or the other way round. */
  turn(runnerId: string): void;
  /** Those that turned since the last call, also there and back: somebody may have looked in between. */
  takeTurned(): string[];
  /** Those that may be otherwise than in a transaction; undefined: it was before this replica looked, and any may. */
  turnedSince(xid: string): ReadonlySet<string> | undefined;
}

/** `start`: the transaction from which on everything is told. */
export function createBusyRunners(start: string): BusyRunners {
  const ever = new Set<string>();
  let turned = new Set<string>();
  return {
    turn(runnerId) {
      ever.add(runnerId);
      turned.add(runnerId);
    },
    takeTurned() {
      const taken = [...turned];
      turned = new Set();
      return taken;
    },
    turnedSince: (xid) => (BigInt(xid) < BigInt(start) ? undefined : ever),
  };
}
