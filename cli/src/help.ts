/** What stands above and below the list of commands. */
export const programHelp = {
  summary: "Runs pipelines, and manages the runners, workloads and people of an agyn control plane.",
  after: `
Examples:
  agynctl run web pipelines/build.yaml --ref main --follow
  agynctl queue
  agynctl runners list
  agynctl workloads start --follow -- make test
  agynctl explain --capability gpu --require 'region in (us,eu)'

References: an id, a name in the organization, a name in the cluster, or the start of an id that fits only one. A run: its
number. A job: its run's number and its name, such as 17/test, or '17/test (linux)' in a matrix.

Output: -o json and -o yaml give the API's own messages (docs/reference/api.md, proto JSON); a list is an array, and what is followed or
watched one document after the other. -o name gives ids, one a line. Results go to stdout, all else to stderr.

Exit codes:
  0    done
  1    failed
  2    the command line or a value in it is wrong
  3    there is no such thing
  4    not authenticated, or not allowed
  5    the control plane is out of reach, or did not answer in time
  6    no runner can take the workload
  130  interrupted
With workloads start --follow and exec the command's own exit code; 128 + n after signal n; 124 after its time-out. With run --follow and runs rerun
--follow 0 where the run succeeded, and 1 where it failed or was cancelled.

Environment: AGYN_GATEWAY, AGYN_TOKEN, AGYN_DATA_DIR, AGYN_CA_FILE, NO_COLOR`,
} as const;

/** What each group of commands is about. */
export const groupSummaries: Readonly<Record<string, string>> = {
  runners: "Registers, shows and manages runners",
  workloads: "Starts, shows and stops workloads",
  triggers: "Starts runs by webhooks, schedules and trigger tokens",
  webhooks: "Tells addresses of what becomes of runs, jobs and runners",
  projects: "Manages projects: sources whose pipelines are run",
  runs: "Shows, repeats and cancels runs of pipelines",
  jobs: "Shows jobs of runs",
  queue: "Shows and changes the order in which jobs are taken",
  pipelines: "Checks pipeline files",
  artifacts: "Shows and downloads what jobs kept",
  orgs: "Manages organizations",
  users: "Manages the users of the cluster",
  members: "Manages who belongs to an organization",
  secrets: "Manages secrets, which jobs get and nobody reads",
  tokens: "Manages your access tokens",
  audit: "Shows who did what",
  overlay: "Shows how runners reach the control plane",
};
