import type { Duplex } from "node:stream";
import type { SessionKind } from "../../../overlay/openziti/api-session.ts";
import {
  createOpenZitiOverlay,
  type OpenZitiOptions,
  type OpenZitiOverlay,
} from "../../../overlay/openziti/openziti.ts";
import type { Credential } from "../../../overlay/openziti/credential.ts";
import { readIdentityFile } from "../../../overlay/openziti/identity-file.ts";
import { startFabric, type Fabric, type FabricOptions } from "../../support/fabric/fabric.ts";

/** Times for tests: what takes seconds elsewhere takes a moment, and a busy machine is waited for. */
const quick = { connectTimeout_ms: 90_000, backOff_ms: 20 };

export interface ZitiWorld extends AsyncDisposable {
  readonly fabric: Fabric;
  readonly controller: string;
  /** All of them, where they can be taken away. */
  readonly routers: { cut(): Promise<void>; restore(): Promise<void> };
  /** May dial and host everything. */
  readonly credential: Credential;
  /** An overlay of the identity above unless told otherwise; closed with the world. */
  overlay(options?: Partial<OpenZitiOptions>): OpenZitiOverlay;
  /** Hosts `control-plane` and dials it: both ends of one connection. */
  connect(dialer: OpenZitiOverlay, host?: OpenZitiOverlay): Promise<[near: Duplex, far: Duplex]>;
}

/** A fabric with one service and an identity that may dial and host it. */
export async function openZitiWorld(
  options: FabricOptions & { readonly encrypted?: boolean } = {},
): Promise<ZitiWorld> {
  const fabric = await startFabric(options);
  const overlays: OpenZitiOverlay[] = [];
  const { keyPem, certPem } = await fabric.addIdentity("everyone", { roleAttributes: ["all-of-them"] });
  const service = fabric.addService("control-plane", { encryptionRequired: options.encrypted ?? true });
  for (const type of ["Dial", "Bind"] as const) fabric.permit(type, ["#all-of-them"], service);
  const credential = { keyPem, certPem, caPem: fabric.caPem };

  const each = async (act: (router: ReturnType<Fabric["router"]>) => Promise<void>) => {
    for (const { name } of fabric.model.edgeRouters.all()) await act(fabric.router(name));
  };
  return {
    fabric,
    controller: fabric.url,
    routers: { cut: () => each((router) => router.kill()), restore: () => each((router) => router.revive()) },
    credential,
    overlay(given = {}) {
      const overlay = createOpenZitiOverlay({
        controller: fabric.url,
        credential: () => credential,
        ...given,
        settings: { ...quick, ...given.settings },
      });
      overlays.push(overlay);
      return overlay;
    },
    async connect(dialer, host = dialer) {
      const accepted = Promise.withResolvers<Duplex>();
      const listener = await host.listen("control-plane", accepted.resolve);
      const near = await dialer.dial(listener.address);
      const far = await accepted.promise;
      await listener.close();
      return [near, far];
    },
    async [Symbol.asyncDispose]() {
      for (const overlay of overlays) await overlay.close();
      await fabric.close();
    },
  };
}

/**
 * A real network, where `AGYN_TEST_ZITI` is its controller's address: `AGYN_TEST_ZITI_IDENTITY` is the file of an identity that
 * may dial and host a service `control-plane`, on which nobody else is.
 */
export function openRealNetwork(environment: NodeJS.ProcessEnv) {
  const controller = environment["AGYN_TEST_ZITI"];
  if (controller === undefined) return undefined;
  const { keyPem, certPem, caPem } = readIdentityFile(environment["AGYN_TEST_ZITI_IDENTITY"] ?? "");
  if (caPem === undefined) throw new Error("the file of AGYN_TEST_ZITI_IDENTITY names no authorities (id.ca)");
  const credential = { keyPem, certPem, caPem };
  const overlays: OpenZitiOverlay[] = [];
  return {
    fabric: undefined,
    controller,
    routers: undefined,
    credential,
    overlay() {
      const overlay = createOpenZitiOverlay({ controller, credential: () => credential });
      overlays.push(overlay);
      return overlay;
    },
    async [Symbol.asyncDispose]() {
      for (const overlay of overlays) await overlay.close();
    },
  };
}

/** Every kind of network and session that is spoken. */
export const networks: readonly { readonly version: "1.6.20" | "2.0.3"; readonly sessions: SessionKind }[] = [
  { version: "2.0.3", sessions: "oidc" },
  { version: "2.0.3", sessions: "legacy" },
  { version: "1.6.20", sessions: "legacy" },
];
