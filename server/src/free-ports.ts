import { once } from "node:events";
import { createServer } from "node:net";
import type { Address } from "./setting-values.ts";

/**
 * Fails as listening would where one of these addresses cannot be had, before anything is made that takes long. Another program may
 * still be faster than the listeners, which then fail themselves.
 */
export async function refuseTakenAddresses(addresses: readonly Address[]): Promise<void> {
  for (const { host, port } of addresses) {
    const probe = createServer().listen({ host, port });
    await once(probe, "listening");
    probe.close();
    await once(probe, "close");
  }
}
