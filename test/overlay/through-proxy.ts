import type { Overlay } from "../../overlay/overlay.ts";
import { createTcpProxy } from "../support/tcp-proxy.ts";
import type { Carried } from "./contract.ts";

/** An overlay over TCP whose dials go through a hop that can be taken away; it has one listener at a time. */
export async function throughProxy<E>(
  overlay: Overlay<E>,
  targetOf: (address: E) => string,
  addressOf: (port: number) => E,
): Promise<Carried<E>> {
  let target = "";
  const proxy = await createTcpProxy(() => target);
  return {
    overlay: {
      dial: (address, options) => overlay.dial(address, options),
      async listen(service, onConnection) {
        const { address, close } = await overlay.listen(service, onConnection);
        target = targetOf(address);
        return { address: addressOf(proxy.port), close };
      },
      async close() {
        await proxy.close();
        await overlay.close();
      },
    },
    cut: async () => proxy.cut(),
    restore: async () => proxy.restore(),
  };
}
