/** What both ends of the overlay benchmark agree upon. */
import type { Duplex } from "node:stream";
import { once } from "node:events";
import { createMtlsOverlay } from "../overlay/mtls.ts";
import { createOpenZitiOverlay } from "../overlay/openziti/openziti.ts";
import type { Overlay } from "../overlay/overlay.ts";
import type { Credential } from "../overlay/openziti/credential.ts";

/** What a connection is used for: every byte back, all bytes taken, or `moved_bytes` taken and given at the same time. */
export const uses = ["echo", "take", "both"] as const;
export type Use = (typeof uses)[number];

/** One service for each use of bare connections, and one behind which the secure layer is. */
export const services = [...uses, "secured"] as const;
export type Service = (typeof services)[number];

/** What `test/support/fabric-process.ts` tells: where the network is, an identity that may use all of it, who manages it. */
export type Network = {
  controller: string;
  credential: Credential;
  administrator: { username: string; password: string };
};

/** What is dialed, by service. */
export type Endpoints = Record<Service, unknown>;

export const mebibyte = 1024 * 1024;
/** What goes one way in one measurement of throughput. */
export const moved_bytes = 64 * mebibyte;
const piece = Buffer.alloc(64 * 1024, "agyn");

/** Over the network where there is one, otherwise over plain TCP. */
export function createOverlay(network: Network | undefined): Overlay<unknown> {
  if (network === undefined) {
    const local = { host: "127.0.0.1", port: 0 };
    return createMtlsOverlay({ services: Object.fromEntries(services.map((name) => [name, local])) });
  }
  return createOpenZitiOverlay({ controller: network.controller, credential: () => network.credential });
}

/** Writes `moved_bytes` as fast as they are taken, and ends. */
export async function give(stream: Duplex): Promise<void> {
  for (let sent_bytes = 0; sent_bytes < moved_bytes; sent_bytes += piece.length)
    if (!stream.write(piece)) await once(stream, "drain");
  stream.end();
}
