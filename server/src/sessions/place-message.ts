import { fromBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { WorkloadSpecSchema } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { Demand } from "../domain/demand.ts";
import { demandFromJson } from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { openSecrets } from "../identity/sealed-spec.ts";
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
