import net from "node:net";

/** A place on the network; `host` is a name or an address (IPv6 without brackets). */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** After this much silence the system probes the other end. */
export const keepAliveDelay_ms = 15_000;

/** Opens one TCP connection, half-closable, probed when silent. Rejects with what the system said. */
export async function connectTcp({ host, port }: HostAndPort, signal: AbortSignal): Promise<net.Socket> {
  signal.throwIfAborted();
  const socket = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
  socket.setKeepAlive(true, keepAliveDelay_ms);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  socket.once("connect", resolve).once("error", reject);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.off("connect", resolve).off("error", reject);
  }
}
