import { isTerminal, type Phase, type WorkloadResult } from "./workload.ts";

/** What the store says is bound to a runner. */
export type BoundWorkload = { id: string; fence: bigint; phase: Phase };
/** What a connecting runner says it holds. */
export type HeldWorkload = {
  id: string;
  fence: bigint;
  phase: Phase;
  startTime: Date | null;
  result: WorkloadResult | null;
};

/** How the difference is repaired. */
export type HelloRepair = {
  /** Held and bound: observed phases to take on. */
  advance: HeldWorkload[];
  /** Held, ended, and bound: results to record. */
  end: (HeldWorkload & { result: WorkloadResult })[];
  /** Bound as placed, and not held: it never started, so it may go elsewhere. */
  unplace: BoundWorkload[];
  /** Bound as started, and not held: lost with the runner's memory of it. */
  lose: BoundWorkload[];
  /** Held and not bound: to be checked against the history, and forgotten or acknowledged. */
  unknown: HeldWorkload[];
};

/** Compares what is bound to a runner with what it holds; only the live fence counts (I2). */
export function reconcileHello(bound: readonly BoundWorkload[], held: readonly HeldWorkload[]): HelloRepair {
  const repair: HelloRepair = { advance: [], end: [], unplace: [], lose: [], unknown: [] };
  const heldById = new Map(held.map((one) => [`${one.id} ${one.fence}`, one]));
  const boundKeys = new Set(bound.map((one) => `${one.id} ${one.fence}`));
  for (const one of bound) {
    const match = heldById.get(`${one.id} ${one.fence}`);
    if (!match) (one.phase === "placed" ? repair.unplace : repair.lose).push(one);
    else if (match.result) repair.end.push({ ...match, result: match.result });
    else if (!isTerminal(match.phase) && match.phase !== "placed") repair.advance.push(match);
  }
  for (const one of held) if (!boundKeys.has(`${one.id} ${one.fence}`)) repair.unknown.push(one);
  return repair;
}
