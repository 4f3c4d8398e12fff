import type { WorkloadSpec } from "./executor.ts";
import { jobPaths } from "./job-directory.ts";
import { outputPath } from "./job-outputs.ts";

/**
 * The whole environment of a job: nothing of the runner's own but the search path. Declared variables may override the general
 * ones, never the facts about the workload.
 */
export function jobEnvironment(spec: WorkloadSpec, facts: { jobDirectory: string; runnerId: string; path: string }) {
  const { home, temporary, workspace } = jobPaths(facts.jobDirectory);
  return new Map<string, string>([
    ["PATH", facts.path],
    ["HOME", home],
    ["TMPDIR", temporary],
    ["LANG", "C.UTF-8"],
    ["CI", "true"],
    ...spec.env.map(({ name, value }): [string, string] => [name, value]),
    ["AGYN_WORKSPACE", workspace],
    ["AGYN_OUTPUT", outputPath(facts.jobDirectory)],
    ["AGYN_RUNNER_ID", facts.runnerId],
    ["AGYN_ORGANIZATION_ID", spec.organizationId],
    ...workloadMark(spec),
  ]);
}

/** The variables that tell the processes of this execution from all others. */
export function workloadMark(spec: WorkloadSpec): [name: string, value: string][] {
  return [
    ["AGYN_WORKLOAD_ID", spec.workloadId],
    ["AGYN_FENCE", spec.fence.toString()],
  ];
}
