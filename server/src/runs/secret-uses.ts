/* What is said of the secrets of a run's jobs: never a value. */
import type { AuditEvent } from "../store/audit-events.ts";
import type { JobRow } from "../store/jobs.ts";
import type { RunRow } from "../store/runs.ts";

/** A job that is given a secret as it joins the queue. */
export type SecretUse = { name: string; job: Pick<JobRow, "id" | "name"> };

/** Who gets which secret, for whom. */
export function useEvent({ organizationId, number, attempt, cause }: RunRow, { name, job }: SecretUse): AuditEvent {
  return {
    scope: { kind: "organization", organizationId },
    actor: cause.userId || cause.triggerId || "server",
    ...{ action: "secret.use", objectId: job.id, objectName: name, outcome: "ok" },
    details: { job: `${number}/${job.name}`, attempt: String(attempt) },
  };
}

/** Why a job is not given the secrets that it names. */
export function reasonWithout(missing: readonly string[], { cause, projectName }: RunRow): string {
  const names = `secret ${missing.join(", ")}`;
  if (cause.untrusted === true)
    return `what the run runs is not trusted, so its jobs get no secrets; this one names ${names}`;
  return projectName === ""
    ? `the organization has no ${names}`
    : `neither project ${projectName} nor its organization has ${names}`;
}
