import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { OverlayDifference, type OverlayService } from "../../../proto/gen/agyn/overlay/v1/overlay_service_pb.ts";
import { AgynError } from "../domain/errors.ts";
import { checkDial, type DialFindings } from "../domain/overlay-diagnosis.ts";
import type { NetworkView } from "../network/inspect.ts";
import type { Sql } from "../store/database.ts";
import { listLatestGenerations } from "../store/identities.ts";
import { targetOf } from "./context.ts";

/** An OpenZiti network to look at; what looks rejects with an error for people, or with the reason of `signal`. */
export interface ObservedNetwork {
  readonly controllerUrl: string;
  /** By which an identity may dial enrollment there. */
  readonly bootstrapRole: string;
  /** When this replica last had all there as it should be, and why its last try failed. */
  repairState(): { repairTime: Date | undefined; error: unknown };
  inspect(signal: AbortSignal): Promise<NetworkView>;
  findDial(runnerId: string, signal: AbortSignal): Promise<Omit<DialFindings, "certificate">>;
}

export type OverlayServiceDeps = {
  sql: Sql;
  overlays: readonly string[];
  /** Where one of them is OpenZiti. */
  network: ObservedNetwork | undefined;
};

/** For a look at a network: a controller that is away must not hold up who asks. */
const timeout_ms = 20_000;
/** What is shown of what differs. */
const maximumShown = 200;

/** How runners reach the control plane, for those who operate the cluster. */
export function createOverlayService({
  sql,
  overlays,
  network,
}: OverlayServiceDeps): ServiceImpl<typeof OverlayService> {
  return {
    async getOverlayStatus(_request, { signal }) {
      if (network === undefined) return { overlays: [...overlays] };
      const { repairTime, error } = network.repairState();
      const openziti = {
        controllerUrl: network.controllerUrl,
        bootstrapRole: network.bootstrapRole,
        ...(repairTime && { repairTime: timestampFromDate(repairTime) }),
        ...(error !== undefined && { error: textOf(error) }),
      };
      try {
        const view = await network.inspect(AbortSignal.any([signal, AbortSignal.timeout(timeout_ms)]));
        return { overlays: [...overlays], openziti: { ...openziti, ...viewToProto(view) } };
      } catch (caught) {
        return { overlays: [...overlays], openziti: { ...openziti, error: textOf(caught) } };
      }
    },

    async diagnoseRunner(_request, context) {
      const { runner } = targetOf(context, "runner");
      if (network === undefined)
        throw new AgynError("STATE", "no OpenZiti network is configured: see the setting overlay");
      const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeout_ms)]);
      const found = await network.findDial(runner.id, signal).catch((error: unknown) => {
        throw new AgynError("UNAVAILABLE", `the network cannot be looked at: ${textOf(error)}`);
      });
      const generations = await listLatestGenerations(sql, runner.identityId === null ? [] : [runner.identityId]);
      const [latest] = generations.values();
      const certificate = latest && { isExpired: latest.expireTime.getTime() <= Date.now() };
      return { checks: checkDial({ ...found, certificate }) };
    },
  };
}

function viewToProto({ version, routers, wanted, differences, foreign, hosts }: NetworkView) {
  return {
    controllerVersion: version,
    routers: routers.map(({ name, isOnline }) => ({ name, online: isOnline })),
    entityCount: wanted,
    differingEntities: differences.slice(0, maximumShown).map((one) => differenceToProto(one, foreign)),
    hostCount: hosts,
  };
}

function differenceToProto(one: NetworkView["differences"][number], foreign: ReadonlySet<string>) {
  switch (one.is) {
    case "missing": {
      const { kind, name } = one.wanted;
      const isForeign = foreign.has(`${kind} ${name}`);
      return { kind, name, difference: isForeign ? OverlayDifference.FOREIGN : OverlayDifference.MISSING };
    }
    case "changed": {
      const { kind, name, id } = one.found;
      return { kind, name, id, difference: OverlayDifference.CHANGED, fields: [...one.fields] };
    }
    case "left over": {
      const { kind, name, id } = one.found;
      return { kind, name, id, difference: OverlayDifference.LEFT_OVER };
    }
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
