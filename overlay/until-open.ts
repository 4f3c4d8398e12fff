import type net from "node:net";

/** How a socket says that it is open, and what is said of one that ends without. */
const closedWords = {
  connect: "it was closed before it was open",
  secureConnect: "it was closed during the TLS handshake",
} as const;

/**
 * Waits until a socket is connected, or has its TLS, as its event says. Any other is destroyed: rejects with what it failed with,
 * or with the reason of `signal`.
 */
export async function untilOpen<Socket extends net.Socket>(
  socket: Socket,
  opened: keyof typeof closedWords,
  signal: AbortSignal,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason as Error);
  const onClose = () => reject(new Error(closedWords[opened]));
  socket.once(opened, resolve).once("error", reject).once("close", onClose);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.off(opened, resolve).off("error", reject).off("close", onClose);
  }
}
