import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  OperatorSchema,
  type Demand as DemandProto,
  type Operator,
  type Requirement as RequirementProto,
} from "../../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import {
  Verdict,
  type Explanation as ExplanationProto,
  ExplanationSchema,
} from "../../../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import {
  WorkloadSchema,
  type Outcome,
  type Workload as WorkloadProto,
  type WorkloadPhase,
} from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { Demand, Operator as OperatorName, Requirement } from "../domain/demand.ts";
import { invalidField } from "../domain/errors.ts";
import type { Explanation } from "../domain/explanation.ts";
import { outcomes, phases, type DemandJson, type Phase, type WorkloadResult } from "../domain/workload.ts";
import { readableSpec } from "../identity/sealed-spec.ts";
import type { WorkloadRow } from "../store/workloads.ts";

const operators: readonly OperatorName[] = ["in", "not_in", "exists", "not_exists", "greater", "less"];
const verdicts = {
  "": Verdict.UNSPECIFIED,
  placeable: Verdict.PLACEABLE,
  never: Verdict.NEVER,
  unavailable: Verdict.UNAVAILABLE,
  full: Verdict.FULL,
} as const;

/** Of a record's text; one that is none is unspecified. */
export function verdictToProto(verdict: string): Verdict {
  return verdicts[verdict as keyof typeof verdicts] ?? Verdict.UNSPECIFIED;
}

/** The contract's phases follow the domain's in their order, from 1. */
export function phaseToProto(phase: Phase): WorkloadPhase {
  return (phases.indexOf(phase) + 1) as WorkloadPhase;
}

/** Of a filter; the contract lets no other number through. */
export function phaseFromProto(phase: WorkloadPhase): Phase {
  return phases[phase - 1]!;
}

/** A record as people see it; `runnerName` may be of a tombstone. */
export function toWorkloadProto(row: WorkloadRow, runnerName: string): WorkloadProto {
  return create(WorkloadSchema, {
    id: row.id,
    organizationId: row.organizationId,
    name: row.name,
    labels: row.labels,
    ...legible("spec", () => readableSpec(row.spec)),
    ...legible("demand", () => demandToProto(row.demand)),
    retry: { maximumTries: row.maximumTries, onLost: row.retryOnLost, onFailed: row.retryOnFailed },
    loss: {
      kind:
        row.lostAfter_ms === null
          ? { case: "never", value: true }
          : { case: "after", value: durationFromMs(Number(row.lostAfter_ms)) },
    },
    phase: phaseToProto(row.phase),
    message: row.message,
    verdict: verdictToProto(row.verdict),
    runnerId: row.runnerId ?? "",
    runnerName,
    fence: row.fence,
    try: row.try,
    retryOf: row.retryOf ?? "",
    retriedBy: row.retriedBy ?? "",
    stopRequested: row.stopRequested,
    createTime: timestampFromDate(row.createTime),
    createdBy: row.createdBy,
    runId: row.runId ?? "",
    jobId: row.jobId ?? "",
    ...(row.unreachableSince && { unreachableSince: timestampFromDate(row.unreachableSince) }),
    ...(row.placeTime && { placeTime: timestampFromDate(row.placeTime) }),
    ...(row.startTime && { startTime: timestampFromDate(row.startTime) }),
    ...(row.endTime && { endTime: timestampFromDate(row.endTime) }),
    ...(row.result && legible("result", () => resultToProto(row.result!))),
    ...(row.phase === "pending" && {
      pendingDeadline: timestampFromDate(new Date(row.pendTime.getTime() + Number(row.pendingTimeout_ms))),
    }),
  });
}

/** A part of a record, left out where the row is damaged: one row must not hide the others of a list. */
export function legible<Name extends string, Part>(name: Name, read: () => Part): { [name in Name]?: Part } {
  try {
    return { [name]: read() } as { [name in Name]?: Part };
  } catch {
    return {};
  }
}

function resultToProto(result: WorkloadResult) {
  return {
    outcome: (outcomes.indexOf(result.outcome) + 1) as Outcome,
    exitCode: result.exitCode,
    signal: result.signal,
    message: result.message,
    cpuTime: durationFromMs(Math.round(result.cpuTime_ms)),
    memoryPeakBytes: BigInt(Math.round(result.memoryPeak_bytes)),
    memorySampled: result.memorySampled,
    outputs: result.outputs ?? {},
    ...(result.startTime_ms !== null && { startTime: timestampFromDate(new Date(result.startTime_ms)) }),
    ...(result.endTime_ms !== null && { endTime: timestampFromDate(new Date(result.endTime_ms)) }),
  };
}

/** A demand of an organization; what the contract's rules cannot say of it is checked here. */
export function demandFromProto(
  proto: DemandProto | undefined,
  organizationId: string,
  defaultExecutor: string,
): Demand {
  const resources = new Map(Object.entries(proto?.resources ?? {}));
  if (!resources.has("slots")) resources.set("slots", 1);
  return {
    organizationId,
    requirements: (proto?.requirements ?? []).map((one, position) =>
      requirementFromProto(one, `demand.requirements[${position}]`),
    ),
    capabilities: proto?.capabilities ?? [],
    executor: proto?.executor || defaultExecutor,
    resources,
    preferences: (proto?.preferences ?? []).map((one, position) => ({
      requirement: requirementFromProto(one.requirement!, `demand.preferences[${position}].requirement`),
      weight: one.weight,
    })),
  };
}

function requirementFromProto(proto: RequirementProto, field: string): Requirement {
  const operator = operators[proto.operator - 1]!;
  const { key, values } = proto;
  const name = OperatorSchema.values[proto.operator]!.name.slice("OPERATOR_".length);
  if ((operator === "exists" || operator === "not_exists") && values.length > 0)
    throw invalidField(`${field}.values`, `${name} takes no values`);
  if ((operator === "in" || operator === "not_in") && values.length === 0)
    throw invalidField(`${field}.values`, `${name} needs at least one value`);
  if (operator === "greater" || operator === "less") {
    if (values.length !== 1 || !/^[+-]?[0-9]{1,30}(\.[0-9]{1,30})?$/.test(values[0]!))
      throw invalidField(`${field}.values`, `${name} needs one decimal number`);
  }
  return { key, operator, values };
}

/** A stored demand as people see it. */
export function demandToProto(demand: DemandJson) {
  const toProto = ({ key, operator, values }: Requirement) => ({
    key,
    operator: (operators.indexOf(operator) + 1) as Operator,
    values: [...values],
  });
  return {
    requirements: demand.requirements.map(toProto),
    capabilities: [...demand.capabilities],
    executor: demand.executor,
    resources: demand.resources,
    preferences: demand.preferences.map(({ requirement, weight }) => ({ requirement: toProto(requirement), weight })),
  };
}

/** Runners that are eligible and shown by id at most. */
const eligibleLimit = 1000;

/** `text` says the same to people. */
export function explanationToProto(explanation: Explanation, text: string): ExplanationProto {
  const { nearest } = explanation;
  const { organization, cluster } = explanation.counts;
  return create(ExplanationSchema, {
    verdict: verdicts[explanation.verdict],
    text,
    eligibleRunnerIds: explanation.eligibleRunnerIds.slice(0, eligibleLimit),
    runners: explanation.runners.map((one) => ({
      runnerId: one.runnerId,
      runnerName: one.name,
      cluster: one.scopeKind === "cluster",
      eligible: one.standing === "free",
      rules: one.verdicts.map(({ rule, ok, text: why }) => ({ rule, ok, text: why })),
    })),
    ...(nearest && { nearest: { runnerId: nearest.runnerId, runnerName: nearest.name, lacks: [...nearest.lacks] } }),
    smallestChange: explanation.smallestChange ?? "",
    runnerCount: organization + cluster,
  });
}
