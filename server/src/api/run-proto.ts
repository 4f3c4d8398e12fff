import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  CauseKind,
  JobSchema,
  JobState,
  RunSchema,
  RunState,
  type Job as JobProto,
  type Run as RunProto,
} from "../../../proto/gen/agyn/runs/v1/run_pb.ts";
import type { JobState as JobStateName, RunState as RunStateName } from "../domain/run-state.ts";
import type { JobRow } from "../store/jobs.ts";
import type { Cause, RunRow } from "../store/runs.ts";
import { demandToProto, legible, verdictToProto } from "./workload-proto.ts";

const runStates: Record<RunStateName, RunState> = {
  queued: RunState.QUEUED,
  running: RunState.RUNNING,
  succeeded: RunState.SUCCEEDED,
  failed: RunState.FAILED,
  cancelled: RunState.CANCELLED,
};

const jobStates: Record<JobStateName, JobState> = {
  blocked: JobState.BLOCKED,
  queued: JobState.QUEUED,
  running: JobState.RUNNING,
  succeeded: JobState.SUCCEEDED,
  failed: JobState.FAILED,
  cancelled: JobState.CANCELLED,
  skipped: JobState.SKIPPED,
};

const causeKinds: Record<Cause["kind"], CauseKind> = {
  manual: CauseKind.MANUAL,
  token: CauseKind.TOKEN,
  schedule: CauseKind.SCHEDULE,
  webhook: CauseKind.WEBHOOK,
};

/** Of a filter; the contract lets no other number through. */
export function runStateFromProto(state: RunState): RunStateName {
  const found = Object.entries(runStates).find(([, value]) => value === state);
  return found![0] as RunStateName;
}

/** A run as people see it. */
export function toRunProto(row: RunRow): RunProto {
  const { kind, userId, triggerId, deliveryId, event } = row.cause;
  return create(RunSchema, {
    id: row.id,
    organizationId: row.organizationId,
    number: row.number,
    projectId: row.projectId,
    projectName: row.projectName,
    pipeline: row.pipeline,
    name: row.name,
    state: runStates[row.state],
    message: row.message,
    attempt: row.attempt,
    inputs: texts(row.inputs),
    labels: row.labels,
    ref: row.ref,
    commit: row.commit,
    bundleDigest: row.bundleDigest,
    cause: { kind: causeKinds[kind], userId, triggerId, deliveryId, event },
    cancelRequested: row.cancelRequested,
    jobs: row.jobs,
    waitingMs: row.waiting_ms,
    runningMs: row.running_ms,
    createTime: timestampFromDate(row.createTime),
    ...(row.startTime && { startTime: timestampFromDate(row.startTime) }),
    ...(row.endTime && { endTime: timestampFromDate(row.endTime) }),
  });
}

/** What a job's record does not say itself. */
export type JobFacts = { projectName: string; runnerName: string };

/** A job as people see it. */
export function toJobProto(row: JobRow, { projectName, runnerName }: JobFacts): JobProto {
  return create(JobSchema, {
    id: row.id,
    runId: row.runId,
    runNumber: row.runNumber,
    organizationId: row.organizationId,
    projectId: row.projectId,
    projectName,
    attempt: row.attempt,
    name: row.name,
    definition: row.definition,
    matrix: texts(row.matrix),
    needs: row.needs,
    state: jobStates[row.state],
    message: row.message,
    verdict: verdictToProto(row.verdict),
    ...(row.demand && legible("demand", () => demandToProto(row.demand!))),
    priority: row.priority,
    try: row.try,
    workloadId: row.workloadId ?? row.workloadIds.at(-1) ?? "",
    runnerId: row.runnerId ?? "",
    runnerName,
    exitCode: row.exitCode ?? 0,
    outputs: row.outputs,
    concurrencyGroup: row.concurrencyGroup,
    reused: row.reused,
    labels: row.labels,
    workloadIds: row.workloadIds,
    ...(row.queueTime && { queueTime: timestampFromDate(row.queueTime) }),
    ...(row.startTime && { startTime: timestampFromDate(row.startTime) }),
    ...(row.endTime && { endTime: timestampFromDate(row.endTime) }),
    ...(row.availableTime && { availableTime: timestampFromDate(row.availableTime) }),
    ...(row.queueDeadline && { queueDeadline: timestampFromDate(row.queueDeadline) }),
  });
}

function texts(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
}
