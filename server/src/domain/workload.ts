import type { Demand, Requirement } from "./demand.ts";

/** Where a workload stands. The last four are terminal and never change (I3). */
export const phases = [
  "pending",
  "placed",
  "starting",
  "running",
  "stopping",
  "succeeded",
  "failed",
  "cancelled",
  "lost",
] as const;
export type Phase = (typeof phases)[number];
export type TerminalPhase = "succeeded" | "failed" | "cancelled" | "lost";
export type LivePhase = Exclude<Phase, TerminalPhase>;

/** How a runner may say that a workload ended. */
export const outcomes = [
  "exited",
  "signalled",
  "timed_out",
  "stopped",
  "start_failed",
  "lost",
  "runner_stopped",
] as const;
export type Outcome = (typeof outcomes)[number];

/** How a workload ended, in the runner's words. Times in ms since 1970. */
export type WorkloadResult = {
  outcome: Outcome;
  exitCode: number;
  signal: string;
  message: string;
  cpuTime_ms: number;
  memoryPeak_bytes: number;
  memorySampled: boolean;
  startTime_ms: number | null;
  endTime_ms: number | null;
  /** What it wrote to `$AGYN_OUTPUT`; absent where it wrote nothing. */
  outputs?: Record<string, string>;
};

/** How long a runner may be out of reach where nobody says: with a retry on loss, giving up early gains something. */
export function defaultLostAfter_ms(isRetriedWhenLost: boolean): number {
  return isRetriedWhenLost ? 10 * 60_000 : 24 * 3_600_000;
}

/** Whether the phase is one that never changes (I3). */
export function isTerminal(phase: Phase): phase is TerminalPhase {
  return phase === "succeeded" || phase === "failed" || phase === "cancelled" || phase === "lost";
}

/** Whether it failed because no registered runner ever could have taken it, which is what refuses a start. */
export function failedUnplaceable(of: { phase: Phase; verdict: string; fence: bigint }): boolean {
  return of.phase === "failed" && of.verdict === "never" && of.fence === 0n;
}

/** The terminal phase that a runner's result leads to, and its text for people. */
export function terminalPhaseOf(
  result: WorkloadResult,
  stopRequested: boolean,
): { phase: TerminalPhase; message: string } {
  const because = result.message === "" ? "" : `: ${result.message}`;
  switch (result.outcome) {
    case "exited":
      return result.exitCode === 0
        ? { phase: "succeeded", message: "" }
        : { phase: "failed", message: `exit code ${result.exitCode}` };
    case "signalled":
      return { phase: "failed", message: result.message || `ended by ${result.signal || "a signal"}` };
    case "timed_out":
      return { phase: "failed", message: result.message || "timed out" };
    case "stopped":
      return stopRequested
        ? { phase: "cancelled", message: result.message || "stopped" }
        : { phase: "failed", message: `stopped${because}` };
    case "start_failed":
      return { phase: "failed", message: `could not start${because}` };
    case "lost":
      return { phase: "lost", message: result.message || "lost by its runner" };
    case "runner_stopped":
      return { phase: "failed", message: "runner stopped" };
  }
}

/** How far a live phase is; progress never goes back. */
export function phaseRank(phase: Phase): number {
  return phases.indexOf(phase);
}

/** A demand as it is stored: maps as objects. */
export type DemandJson = Omit<Demand, "resources"> & { resources: Record<string, number> };

/** As it is stored: resources, a map here, are an object there. */
export function demandToJson(demand: Demand): DemandJson {
  return { ...demand, resources: Object.fromEntries(demand.resources) };
}

/**
 * Throws where a stored demand is not one: a row may be older, or damaged. Its fields come in one order, whatever theirs was: the store
 * has its own, and demands that are alike are told by their text.
 */
export function demandFromJson(json: DemandJson): Demand {
  const { organizationId, requirements, capabilities, executor, resources, preferences } = json ?? {};
  const isWhole: boolean =
    Array.isArray(requirements) &&
    requirements.every(isRequirement) &&
    Array.isArray(capabilities) &&
    typeof resources === "object" &&
    resources !== null &&
    Object.values(resources).every((amount) => Number.isFinite(amount)) &&
    Array.isArray(preferences) &&
    preferences.every((one: Partial<DemandJson["preferences"][number]> | null) => isRequirement(one?.requirement));
  if (!isWhole) throw new Error("the demand is malformed");
  return {
    organizationId,
    requirements: requirements.map(inOrder),
    capabilities,
    executor,
    resources: new Map(Object.entries(resources).toSorted(([a], [b]) => (a < b ? -1 : 1))),
    preferences: preferences.map(({ requirement, weight }) => ({ requirement: inOrder(requirement), weight })),
  };
}

function inOrder({ key, operator, values }: Requirement): Requirement {
  return { key, operator, values };
}

/** Why a stored demand is none; `undefined`: it is one. */
export function demandProblem(json: DemandJson | null): string | undefined {
  try {
    demandFromJson(json as DemandJson);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function isRequirement(one: DemandJson["requirements"][number] | undefined): boolean {
  return typeof one?.key === "string" && typeof one.operator === "string" && Array.isArray(one.values);
}
