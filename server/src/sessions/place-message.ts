import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { WorkloadSpecSchema, type WorkloadSpec } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { Demand } from "../domain/demand.ts";
import { demandFromJson } from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import type { WorkloadRow } from "../store/workloads.ts";
import type { ControlMessageInit } from "./session-registry.ts";

/** What a place message is made of. */
export type Placement = {
  id: string;
  fence: bigint;
  organizationId: string;
  spec: Uint8Array;
  demand: Demand;
  lostAfter_ms: number | null;
  retriedWhenLost: boolean;
};

/** The place message of a placement, secrets opened: it goes over the runner's own TLS and is not kept (I6). */
export function toPlaceMessage(placement: Placement, masterKey: MasterKey): ControlMessageInit {
  const { id, fence, organizationId, demand } = placement;
  return {
    case: "place",
    value: {
      workloadId: id,
      organizationId,
      fence,
      spec: openSecrets(fromBinary(WorkloadSpecSchema, placement.spec), organizationId, masterKey),
      executor: demand.executor,
      resources: Object.fromEntries(demand.resources),
      loss:
        placement.lostAfter_ms === null
          ? { kind: { case: "never", value: true } }
          : { kind: { case: "after", value: durationFromMs(placement.lostAfter_ms) } },
      retriedWhenLost: placement.retriedWhenLost,
    },
  };
}

/** The placement of a record. */
export function toPlacement(row: WorkloadRow): Placement {
  return {
    id: row.id,
    fence: row.fence,
    organizationId: row.organizationId,
    spec: row.spec,
    demand: demandFromJson(row.demand),
    lostAfter_ms: row.lostAfter_ms === null ? null : Number(row.lostAfter_ms),
    retriedWhenLost: row.retryOnLost && row.try < row.maximumTries,
  };
}

/** The spec in binary as it is stored: values of secret variables are sealed, and bound to their organization. */
export function sealSpec(spec: WorkloadSpec, organizationId: string, masterKey: MasterKey): Uint8Array {
  if (!spec.environment.some((variable) => variable.secret)) return toBinary(WorkloadSpecSchema, spec);
  const environment = spec.environment.map((variable) =>
    variable.secret
      ? {
          ...variable,
          value: Buffer.from(masterKey.seal(Buffer.from(variable.value), context(organizationId))).toString("base64"),
        }
      : variable,
  );
  return toBinary(WorkloadSpecSchema, { ...spec, environment });
}

/** The spec as people may read it: without the values of secret variables. */
export function readableSpec(binary: Uint8Array): WorkloadSpec {
  const spec = fromBinary(WorkloadSpecSchema, binary);
  for (const variable of spec.environment) if (variable.secret) variable.value = "";
  return spec;
}

function openSecrets(spec: WorkloadSpec, organizationId: string, masterKey: MasterKey): WorkloadSpec {
  for (const variable of spec.environment) {
    if (!variable.secret) continue;
    const opened = masterKey.open(Buffer.from(variable.value, "base64"), context(organizationId));
    if ("error" in opened)
      throw new Error(`secret variable ${variable.name} of organization ${organizationId}: ${opened.error}`);
    variable.value = Buffer.from(opened).toString();
  }
  return spec;
}

function context(organizationId: string): string {
  return `organization/${organizationId}/environment`;
}
