/*
 * What holds waiting jobs back beside the runners: pauses, and how many may run at once of an organization, a project, a concurrency group
 * and a matrix. Counts what runs, but for organizations, whose running jobs the queue itself knows.
 */
import type { LiveJob } from "./job-buckets.ts";

/** What bounds the queue of an organization or a project; 0 running jobs means no limit. */
export type QueueBounds = Readonly<{ weight: number; maximumRunning: number }>;

export type QueueLimits = {
  /** Of an organization or a project. */
  bound(scopeId: string, bounds: QueueBounds): void;
  /** Holds back the queues of "cluster", of an organization, of a project; with the reason. */
  pause(scopeId: string, reason: string): void;
  resume(scopeId: string): void;
  /** An organization's share where several want the same runners. */
  weightOf(organizationId: string): number;
  /** Counts a job that runs. */
  enter(job: LiveJob): void;
  /** It runs no more. */
  leave(job: LiveJob): void;
  /** What holds a job back while so many of its organization run, in one line; empty: nothing. */
  holdOf(job: LiveJob, runningJobs: number): string;
};

/** No bounds, no pauses, and nothing runs. */
export function createQueueLimits(): QueueLimits {
  const bounds = new Map<string, QueueBounds>();
  const pauses = new Map<string, string>();
  /** Running jobs by project, group and matrix. */
  const counts = new Map<string, number>();
  const isFull = (scopeId: string, count: number) => {
    const maximum = bounds.get(scopeId)?.maximumRunning ?? 0;
    return maximum > 0 && count >= maximum;
  };
  return {
    bound: (scopeId, one) => void bounds.set(scopeId, one),
    pause: (scopeId, reason) => void pauses.set(scopeId, reason),
    resume: (scopeId) => void pauses.delete(scopeId),
    weightOf: (organizationId) => bounds.get(organizationId)?.weight || 1,
    enter(job) {
      for (const counter of countersOf(job)) counts.set(counter, (counts.get(counter) ?? 0) + 1);
    },
    leave(job) {
      for (const counter of countersOf(job)) {
        const left = counts.get(counter)! - 1;
        if (left === 0) counts.delete(counter);
        else counts.set(counter, left);
      }
    },
    holdOf(job, runningJobs) {
      for (const scope of ["cluster", job.organizationId, job.projectId]) {
        const reason = scope === "" ? undefined : pauses.get(scope);
        if (reason !== undefined) return `the queue of ${scopeName(scope, job)} is paused: ${reason}`;
      }
      if (isFull(job.organizationId, runningJobs)) {
        return `the organization's limit of ${bounds.get(job.organizationId)!.maximumRunning} running jobs is reached`;
      }
      if (job.projectId !== "" && isFull(job.projectId, counts.get(projectCounter(job)) ?? 0)) {
        return `the project's limit of ${bounds.get(job.projectId)!.maximumRunning} running jobs is reached`;
      }
      if (job.group !== "" && (counts.get(groupCounter(job)) ?? 0) >= job.groupLimit) {
        return `the concurrency group "${job.group}" has its ${job.groupLimit} running`;
      }
      if (job.matrixLimit > 0 && (counts.get(matrixCounter(job)) ?? 0) >= job.matrixLimit) {
        return `its matrix has its ${job.matrixLimit} running`;
      }
      return "";
    },
  };
}

function scopeName(scope: string, job: LiveJob): string {
  if (scope === "cluster") return "the cluster";
  return scope === job.organizationId ? "the organization" : "the project";
}

function countersOf(job: LiveJob): string[] {
  return [
    ...(job.projectId === "" ? [] : [projectCounter(job)]),
    ...(job.group === "" ? [] : [groupCounter(job)]),
    ...(job.matrixLimit > 0 ? [matrixCounter(job)] : []),
  ];
}

function projectCounter({ projectId }: LiveJob): string {
  return `project ${projectId}`;
}

function groupCounter({ organizationId, projectId, group }: LiveJob): string {
  return `group ${organizationId} ${projectId} ${group}`;
}

function matrixCounter({ matrix }: LiveJob): string {
  return `matrix ${matrix}`;
}
