/** A workload that does nothing, on any runner. */
export const noop = {
  organization: "default",
  spec: { command: { case: "simulation" as const, value: {} } },
  demand: { executor: "simulated" },
};
