import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import type { Caller } from "../../overlay/overlay.ts";
import type { Config } from "./config.ts";
import type { openPlacing } from "./open-placing.ts";
import type { OnClose } from "./closing.ts";
import type { State } from "./open-state.ts";
import { AgynError } from "./domain/errors.ts";
import { createTunnels } from "./sessions/tunnels.ts";
import { openTunnelCalls } from "./store/tunnel-calls.ts";

export type TunnelsOptions = {
  config: Config;
  log: Logger;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  /** Dials the service that a runner hosts, where there is a network. */
  dial: ((runnerId: string, signal: AbortSignal) => Promise<Duplex>) | undefined;
  /** Takes over a connection to a runner as if the runner had dialed it. */
  accept: (connection: Duplex, from: Caller) => void;
  /** "host:port" at which runners reach this replica, if they can. */
  ownEndpoint: () => string | undefined;
  onClose: OnClose;
};

/** What gets callers into workloads, whichever replica their runner is connected to. */
export async function openTunnels({ config, log, state, placing, dial, accept, ownEndpoint, onClose }: TunnelsOptions) {
  const { registry } = placing;
  const calls = await openTunnelCalls(state.sql, log, ({ runnerId, tunnelId, endpoint }) => {
    const endpoints = [{ kind: { case: "mtls" as const, value: endpoint } }];
    registry.get(runnerId)?.send({ case: "connect", value: { tunnelId, endpoints } });
  });
  onClose("calls between replicas", () => calls.close());
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
    async dial(runnerId, tunnelId, signal) {
      const connection = await dial?.(runnerId, signal).catch((error: unknown) => {
        log.info({ runner_id: runnerId, tunnel_id: tunnelId, err: error }, "the runner's service could not be dialed");
      });
      if (!connection) return;
      // The runner then begins the handshake, as with every connection of its own.
      connection.write(tunnelId);
      accept(connection, { address: runnerId });
      await once(connection, "close", { signal }).catch(() => undefined);
    },
    async call(runnerId, tunnelId) {
      const session = registry.get(runnerId);
      if (session) session.send({ case: "connect", value: { tunnelId, endpoints: [] } });
      else await calls.send({ runnerId, tunnelId, endpoint: ownAddress() });
    },
  });
}
