import type { Logger } from "pino";
import type { Config } from "./config.ts";
import type { openPlacing } from "./open-placing.ts";
import type { OnClose, State } from "./open-state.ts";
import { AgynError } from "./domain/errors.ts";
import { createTunnels } from "./sessions/tunnels.ts";
import { openTunnelCalls } from "./store/tunnel-calls.ts";

export type TunnelsOptions = {
  config: Config;
  log: Logger;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  /** "host:port" at which runners reach this replica, if they can. */
  ownEndpoint: () => string | undefined;
  onClose: OnClose;
};

/** What gets callers into workloads, whichever replica their runner is connected to. */
export async function openTunnels({ config, log, state, placing, ownEndpoint, onClose }: TunnelsOptions) {
  const { registry } = placing;
  const calls = await openTunnelCalls(state.sql, log, ({ runnerId, tunnelId, endpoint }) => {
    const endpoints = [{ kind: { case: "mtls" as const, value: endpoint } }];
    registry.get(runnerId)?.send({ case: "connect", value: { tunnelId, endpoints } });
  });
  onClose(() => calls.close());
  const ownAddress = () => {
    const endpoint = ownEndpoint();
    if (endpoint !== undefined) return endpoint;
    throw new AgynError(
      "UNAVAILABLE",
      "the runner is connected to another replica, and cannot reach this one: set tunnel_address on each replica, or ask again",
    );
  };
  return createTunnels({
    idle_ms: config.tunnelIdle_ms,
    async call(runnerId, tunnelId) {
      const session = registry.get(runnerId);
      if (session) session.send({ case: "connect", value: { tunnelId, endpoints: [] } });
      else await calls.send({ runnerId, tunnelId, endpoint: ownAddress() });
    },
  });
}
