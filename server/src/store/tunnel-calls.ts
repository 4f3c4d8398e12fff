import type { Logger } from "pino";
import type { Sql } from "./database.ts";

/** That a runner is to open a tunnel to the replica that asks; it is good for seconds, and kept nowhere. */
export type TunnelCall = { tunnelId: string; runnerId: string; endpoint: string };

/** Calls between replicas: from the one that is asked for a tunnel to the one that the runner is connected to. */
export interface TunnelCalls {
  send(call: TunnelCall): Promise<void>;
  close(): Promise<void>;
}

const channel = "agyn_tunnel_calls";

/** Listens on a connection of its own. A call that is lost is one that nobody answers: its caller hears so, and asks again. */
export async function openTunnelCalls(sql: Sql, log: Logger, onCall: (call: TunnelCall) => void): Promise<TunnelCalls> {
  const subscription = await sql.listen(channel, (payload) => {
    const [tunnelId, runnerId, endpoint] = payload.split(" ");
    if (tunnelId && runnerId && endpoint) onCall({ tunnelId, runnerId, endpoint });
    else log.warn("a call for a tunnel was not understood");
  });
  return {
    async send({ tunnelId, runnerId, endpoint }) {
      await sql.notify(channel, `${tunnelId} ${runnerId} ${endpoint}`);
    },
    close: () => subscription.unlisten(),
  };
}
