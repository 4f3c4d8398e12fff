/** A workload that does nothing, on any runner, in the caller's default organization, as `agynctl` asks where it is told no other. */
export const noop = {
  spec: { command: { case: "simulation" as const, value: {} } },
  demand: { executor: "simulated" },
};
