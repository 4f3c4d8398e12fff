import { duplexPair, type Duplex } from "node:stream";
import { OverlayError } from "../../overlay/errors.ts";
import type { Caller, Overlay } from "../../overlay/overlay.ts";

/** An overlay within the process: each connection is a pair of streams, no socket beneath. The endpoint is the service. */
export function createMemoryOverlay(): Overlay<string> {
  const services = new Map<string, (connection: Duplex, from: Caller) => void>();
  return {
    async dial(service, { signal } = {}) {
      if (signal?.aborted === true) throw new OverlayError("cancelled", `dialing ${service} was given up`);
      const onConnection = services.get(service);
      if (onConnection === undefined) throw new OverlayError("unreachable", `nobody listens as ${service}`);
      const [near, far] = duplexPair();
      // A pair's ends do not learn of one another's death, as those of a socket do.
      near.once("close", () => far.destroy());
      far.once("close", () => near.destroy());
      far.on("error", () => {});
      onConnection(far, { address: "memory" });
      return near;
    },
    async listen(service, onConnection) {
      services.set(service, onConnection);
      return { address: service, close: async () => void services.delete(service) };
    },
    close: async () => services.clear(),
  };
}
