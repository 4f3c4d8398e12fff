import {
  StartWorkloadRequestSchema,
  type StartWorkloadRequest,
} from "../../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import type { LossPolicy } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createId } from "../../../wire/ids.ts";
import type { Demand } from "../domain/demand.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import { defaultLostAfter_ms, demandToJson, failedUnplaceable } from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { sealSpec } from "../identity/sealed-spec.ts";
import type { Placer, StartRequest } from "../loops/placer.ts";
import type { Sql } from "../store/database.ts";
import { claimIdempotencyKey } from "../store/idempotency-keys.ts";
import type { Organization } from "../store/organizations.ts";
import { startFailed } from "../store/workload-starts.ts";
import type { Writer } from "../store/workload-transitions.ts";
import { getWorkload, type WorkloadRow } from "../store/workloads.ts";
import { refuseIdAsName } from "./names.ts";
import { hashRequest } from "./request-hash.ts";
import { toMs } from "./runner-proto.ts";
import { createTurns } from "./turns.ts";
import { demandFromProto } from "./workload-proto.ts";

export type StartWorkloadDeps = {
  sql: Sql;
  writer: Writer;
  placer: Placer;
  masterKey: MasterKey;
  pendingTimeout_ms: number;
  /** Which constraint of a demand no runner of the organization meets, and who comes nearest, in one line. */
  unmetText: (demand: Demand, organization: Organization) => string;
  onWorkloadsChanged: () => void;
};

/** Starts the workload that a request asks for, and answers its record; or the one that its idempotency key stands for. */
export type StartWorkload = (
  request: StartWorkloadRequest,
  organization: Organization,
  createdBy: string,
) => Promise<WorkloadRow>;

/** Starts under one key are begun one after another. */
export function createStartWorkload(deps: StartWorkloadDeps): StartWorkload {
  const { sql, writer, placer } = deps;
  const turns = createTurns();
  return async (request, organization, createdBy) => {
    const start = toStart(request, organization.id, createdBy, deps);
    const { idempotencyKey } = request;
    if (idempotencyKey === "") return begin(start, organization);
    return turns(`${organization.id} ${idempotencyKey}`, async () => {
      const existing = await claimStart(request, start);
      return existing ? again(existing) : begin(start, organization);
    });
  };

  async function begin(start: StartRequest, organization: Organization): Promise<WorkloadRow> {
    const outcome = await placer.start(start);
    if (outcome.kind === "never") return fail(start, organization);
    deps.onWorkloadsChanged();
    if (outcome.kind === "started") return outcome.row;
    return again((await getWorkload(sql, start.workload.id))!);
  }

  /** With an idempotency key, the id it stands for is the workload's; one that is there already is the answer. */
  async function claimStart(request: StartWorkloadRequest, start: StartRequest): Promise<WorkloadRow | undefined> {
    const claim = {
      organizationId: start.workload.organizationId,
      method: "StartWorkload",
      key: request.idempotencyKey,
      requestHash: hashRequest(StartWorkloadRequestSchema, request),
      objectId: start.workload.id,
    };
    start.workload.id = await claimIdempotencyKey(sql, claim);
    return getWorkload(sql, start.workload.id);
  }

  /** No registered runner ever could: the workload is recorded as failed, and the error says why. */
  async function fail({ workload, demand }: StartRequest, organization: Organization): Promise<never> {
    const message = deps.unmetText(demand, organization);
    await startFailed(sql, writer, { ...workload, runnerId: null, verdict: "never", message });
    deps.onWorkloadsChanged();
    throw noRunner({ id: workload.id, message });
  }
}

/** What the first start under the same key was answered with, whichever replica answered it. */
function again(row: WorkloadRow): WorkloadRow {
  if (failedUnplaceable(row)) throw noRunner(row);
  return row;
}

/** The refusal of a start; under its idempotency key the same again. */
function noRunner({ id, message }: Pick<WorkloadRow, "id" | "message">): AgynError {
  return new AgynError("NO_RUNNER", message, { metadata: { workload_id: id } });
}

function toStart(
  request: StartWorkloadRequest,
  organizationId: string,
  createdBy: string,
  { masterKey, pendingTimeout_ms }: StartWorkloadDeps,
): StartRequest {
  refuseIdAsName("workload", request.name);
  const spec = request.spec!;
  if (spec.bundle) throw invalidField("spec.bundle", "only the jobs of a run start with a bundle");
  if (spec.artifacts) throw invalidField("spec.artifacts", "only the jobs of a run have artifacts");
  const simulated = spec.command.case === "simulation";
  const demand = demandFromProto(request.demand, organizationId, simulated ? "simulated" : "process");
  if (simulated !== (demand.executor === "simulated"))
    throw invalidField("spec.command", `the executor "${demand.executor}" does not run a ${spec.command.case}`);
  const retryOnLost = request.retry?.onLost ?? false;
  const defaultLoss_ms = defaultLostAfter_ms(retryOnLost && (request.retry?.maximumTries ?? 0) > 1);
  const workload = {
    id: createId("workload"),
    organizationId,
    name: request.name,
    labels: request.labels,
    spec: sealSpec(spec, organizationId, masterKey),
    demand: demandToJson(demand),
    maximumTries: Math.max(1, request.retry?.maximumTries ?? 1),
    retryOnLost,
    retryOnFailed: request.retry?.onFailed ?? false,
    lostAfter_ms: lostAfter(request.loss, defaultLoss_ms),
    pendingTimeout_ms: toMs(request.pendingTimeout) ?? pendingTimeout_ms,
    createdBy,
  };
  return { workload, demand };
}

/** null: never. */
function lostAfter(loss: LossPolicy | undefined, default_ms: number): number | null {
  if (loss?.kind.case === "never") return null;
  return toMs(loss?.kind.value) ?? default_ms;
}
