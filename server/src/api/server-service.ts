import type { ServiceImpl } from "@connectrpc/connect";
import type { ServerService } from "../../../proto/gen/agyn/server/v1/server_service_pb.ts";
import { permissions } from "./permissions.ts";

export type ServerServiceDeps = {
  version: string;
  trustDomain: string;
  replicaId: string;
  /** Of the runner plane, as `host:port`. */
  runnerEndpoints: readonly string[];
};

/** What a client wants to know of the server it talks to. */
export function createServerService(deps: ServerServiceDeps): ServiceImpl<typeof ServerService> {
  const { version, trustDomain, replicaId } = deps;
  return {
    getServer() {
      return {
        version,
        trustDomain,
        replicaId,
        permissions: [...permissions],
        runnerEndpoints: [...deps.runnerEndpoints],
      };
    },
  };
}
