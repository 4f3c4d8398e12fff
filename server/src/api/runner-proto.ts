import { create } from "@bufbuild/protobuf";
import { durationMs, timestampFromDate, type Duration } from "@bufbuild/protobuf/wkt";
import {
  Availability,
  RunnerSchema,
  RunnerStatus,
  type Runner as RunnerProto,
  type ServiceTokenOptions,
} from "../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { runnerUri } from "../../../wire/spiffe.ts";
import type { Caller } from "../domain/access.ts";
import { invalidField } from "../domain/errors.ts";
import { effectiveCapabilities } from "../domain/runner.ts";
import { isCidr } from "../identity/source-address.ts";
import type { FleetState } from "../loops/fleet-state.ts";
import type { Sql } from "../store/database.ts";
import { listLatestGenerations, type GenerationRow } from "../store/identities.ts";
import { scopeOf, toDomainRunner, type RunnerRow, type TokenRow } from "../store/runners.ts";

/** One number of the contract for each status. */
export const statusToProto = {
  pending: RunnerStatus.PENDING,
  enrolled: RunnerStatus.ENROLLED,
  offline: RunnerStatus.OFFLINE,
} as const;

const availabilityToProto = {
  active: Availability.ACTIVE,
  paused: Availability.PAUSED,
  draining: Availability.DRAINING,
  locked: Availability.LOCKED,
} as const;

export type RunnerProtoDeps = {
  sql: Sql;
  fleet: FleetState;
  trustDomain: string;
  /** The names of a runner's own services in the overlays that have such. */
  overlayServices: (runnerId: string) => string[];
};

/** Records as people see them, with their current identities. */
export async function toRunnerProtos(
  deps: RunnerProtoDeps,
  rows: readonly RunnerRow[],
  caller: Caller,
): Promise<RunnerProto[]> {
  const identities = await listLatestGenerations(
    deps.sql,
    rows.flatMap((row) => row.identityId ?? []),
  );
  return rows.map((row) => toRunnerProto(deps, row, identities.get(row.identityId ?? ""), caller));
}

/** As `toRunnerProtos`, of one. */
export async function oneRunnerProto(deps: RunnerProtoDeps, row: RunnerRow, caller: Caller): Promise<RunnerProto> {
  const [proto] = await toRunnerProtos(deps, [row], caller);
  return proto!;
}

function toRunnerProto(
  deps: RunnerProtoDeps,
  row: RunnerRow,
  identity: GenerationRow | undefined,
  caller: Caller,
): RunnerProto {
  const domain = toDomainRunner(row);
  // What others' workloads take of a shared runner, and how its token may be used, is not for all to see (I7).
  const showsLoad = row.organizationId !== null || (caller.kind === "user" && caller.clusterAdmin);
  return create(RunnerSchema, {
    id: row.id,
    name: row.name,
    scope: {
      kind:
        row.organizationId === null
          ? { case: "cluster", value: true }
          : { case: "organization", value: row.organizationId },
    },
    status: statusToProto[row.status],
    availability: availabilityToProto[row.availability],
    availabilityReason: row.availabilityReason,
    busy: deps.fleet.liveCount(row.id) > 0,
    labels: row.labels,
    reportedLabels: row.reported?.labels ?? {},
    capabilities: row.capabilities,
    foundCapabilities: row.reported?.found ?? [],
    effectiveCapabilities: row.reported ? effectiveCapabilities(domain) : [],
    capacity: row.reported?.capacity ?? {},
    used: showsLoad ? Object.fromEntries(deps.fleet.index.usedOf(row.id)) : {},
    executors: row.reported?.executors ?? [],
    isolation: row.reported?.isolation ?? "",
    overlayServices: row.deleteTime === null ? deps.overlayServices(row.id) : [],
    version: row.reported?.version ?? "",
    host: row.reported?.host ?? "",
    createTime: timestampFromDate(row.createTime),
    updateTime: timestampFromDate(row.updateTime),
    ...(row.enrollTime && { enrollTime: timestampFromDate(row.enrollTime) }),
    ...(row.heartbeatTime && { heartbeatTime: timestampFromDate(row.heartbeatTime) }),
    ...(row.deleteTime && { deleteTime: timestampFromDate(row.deleteTime) }),
    ...(identity?.state === "current" && { identity: toIdentityProto(deps.trustDomain, row, identity) }),
    ...(showsLoad && {
      serviceToken: {
        uses: row.tokenUses,
        createTime: timestampFromDate(row.tokenCreateTime),
        options: {
          maximumUses: row.tokenMaximumUses,
          sourceCidrs: row.tokenSourceCidrs,
          ...(row.tokenExpireTime && {
            lifetime: {
              seconds: BigInt(Math.round((row.tokenExpireTime.getTime() - row.tokenCreateTime.getTime()) / 1000)),
              nanos: 0,
            },
          }),
        },
      },
    }),
  });
}

/** The public half of an identity. */
export function toIdentityProto(
  trustDomain: string,
  runner: Pick<RunnerRow, "id" | "organizationId">,
  identity: GenerationRow,
) {
  return {
    id: identity.identityId,
    generation: identity.generation,
    serial: identity.serial,
    uri: runnerUri(trustDomain, { scope: scopeOf(runner), runnerId: runner.id }),
    issueTime: timestampFromDate(identity.issueTime),
    expireTime: timestampFromDate(identity.expireTime),
  };
}

/** The stored form of a token's options. */
export function toTokenRow(publicKey: Uint8Array, options: ServiceTokenOptions | undefined): TokenRow {
  const wrong = options?.sourceCidrs.findIndex((cidr) => !isCidr(cidr)) ?? -1;
  if (wrong >= 0) throw invalidField(`token_options.source_cidrs[${wrong}]`, "must be an address or a CIDR");
  return {
    publicKey,
    maximumUses: options?.maximumUses ?? 0,
    lifetime_ms: toMs(options?.lifetime) ?? null,
    sourceCidrs: options?.sourceCidrs ?? [],
  };
}

/** A duration in ms, or `undefined` where there is none. */
export function toMs(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : durationMs(duration);
}
