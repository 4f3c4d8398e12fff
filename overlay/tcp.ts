import net from "node:net";
import { untilOpen } from "./until-open.ts";

/** A place on the network; `host` is a name or an address (IPv6 without brackets). */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** After this much silence the system probes the other end. */
export const keepAliveDelay_ms = 15_000;

/** The parts of "host:port", an IPv6 host in brackets; `undefined` where `text` is not that. */
export function parseHostAndPort(text: string): HostAndPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** Opens one connection by TCP, or to the socket at a path: half-closable, probed when silent. Rejects with what the system said. */
export async function connectTcp(
  place: HostAndPort | { readonly path: string },
  signal: AbortSignal,
): Promise<net.Socket> {
  signal.throwIfAborted();
  const socket = net.connect({ ...place, allowHalfOpen: true, noDelay: true });
  socket.setKeepAlive(true, keepAliveDelay_ms);
  return untilOpen(socket, "connect", signal);
}
