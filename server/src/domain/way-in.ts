import type { Phase } from "./workload.ts";

/** What is known of a workload that somebody wants to get into, and of its runner. */
export type WayIn = {
  phase: Phase;
  runner: { name: string; isConnected: boolean; opensTunnels: boolean; version: string } | undefined;
};

/** Why there is no way into a workload now, or `undefined`. */
export function wayInRefusal({
  phase,
  runner,
}: WayIn): { reason: "STATE" | "UNAVAILABLE"; message: string } | undefined {
  if (phase !== "running" || !runner)
    return { reason: "STATE", message: `there is a way into a workload while it runs; this one is ${phase}` };
  if (!runner.isConnected) return { reason: "UNAVAILABLE", message: `its runner ${runner.name} is out of reach` };
  if (runner.opensTunnels) return undefined;
  return { reason: "STATE", message: `its runner ${runner.name} (version ${runner.version}) opens no tunnels` };
}
