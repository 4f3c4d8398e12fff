/* What a trigger says, as plain data: stored as JSON. */

/** Whose deliveries are understood; `generic` is anybody that signs with an HMAC. */
export const forges = ["forgejo", "gitea", "github", "gitlab", "generic"] as const;
export type ForgeName = (typeof forges)[number];

/** Empty lists filter nothing, but `events`: see `defaultEvents`. */
export type WebhookConfig = {
  kind: "webhook";
  forge: ForgeName;
  events: readonly string[];
  actions: readonly string[];
  branches: readonly string[];
  tags: readonly string[];
  paths: readonly string[];
  authors: readonly string[];
  labels: readonly string[];
  forks: "refuse" | "without_secrets";
  agentLabels: boolean;
};

export type ScheduleConfig = {
  kind: "schedule";
  cron: string;
  timeZone: string;
  overlap: "skip" | "queue" | "cancel_older";
  catchUp_ms: number;
};

/** What a forge is told of the runs. */
export type ReportConfig = {
  apiUrl: string;
  commitStatus: boolean;
  comment: boolean;
  /** Of issues; absent in configurations from before there was any. */
  statusLabels?: boolean;
};

export type TriggerConfig = {
  /** Of the project's repository. */
  pipeline: string;
  /** Where the event names no commit; empty: the project's default. */
  ref: string;
  /** Input → text with expressions over `event`. */
  inputs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  priority: number;
  source: WebhookConfig | ScheduleConfig;
  /** Absent: the forge is told nothing. */
  report?: ReportConfig;
};

/** What a webhook without `events` takes; undefined: everything. */
export function defaultEvents(forge: ForgeName, agentLabels: boolean): readonly string[] | undefined {
  if (agentLabels) return ["issues"];
  return forge === "generic" ? undefined : ["push"];
}
