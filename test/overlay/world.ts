import http2 from "node:http2";
import type { Duplex } from "node:stream";
import type { OverlayError } from "../../overlay/errors.ts";
import type { Caller, Overlay } from "../../overlay/overlay.ts";
import { openSecureSocket, type SecureClientOptions } from "../../overlay/secure-client.ts";
import type { SecureLimits } from "../../overlay/secure-limits.ts";
import { openSecureServer, type SecureServer, type SecureServerOptions } from "../../overlay/secure-server.ts";
import { createAuthority } from "../../server/src/identity/authority-material.ts";
import { openAuthority, type Authority } from "../../server/src/identity/authority.ts";
import { createCsr, createIdentityKey } from "../../wire/csr.ts";
import { createId } from "../../wire/ids.ts";
import { createTrustDomain } from "../../wire/spiffe.ts";

export const hour_ms = 3_600_000;
/** For a handshake, of many at once on a machine that is busy with something else. */
const patience_ms = 90_000;

/** A new authority of a trust domain, its certificates valid from an hour ago. */
export async function newAuthority(trustDomain = createTrustDomain()): Promise<Authority> {
  return openAuthority(await createAuthority({ trustDomain, now: new Date(Date.now() - hour_ms) }));
}

/** What a runner of `authority` shows; `now` and `ttl_ms` make it expired or not yet valid. */
export async function runnerCredentials(
  authority: Authority,
  { now = new Date(), ttl_ms = hour_ms }: { now?: Date; ttl_ms?: number } = {},
): Promise<SecureClientOptions> {
  const key = createIdentityKey();
  const issued = await authority.issueRunnerCertificate({
    csr: createCsr(key),
    scope: { kind: "cluster" },
    runnerId: createId("runner"),
    identityId: createId("identity"),
    generation: 1,
    now,
    ttl_ms,
  });
  if ("error" in issued) throw new Error(issued.error);
  return {
    keyPem: key.export({ format: "pem", type: "pkcs8" }).toString(),
    chainPem: issued.chainPem,
    rootPem: authority.trustBundle,
    trustDomain: authority.trustDomain,
  };
}

/** What a control plane of `authority` shows and accepts. */
export async function controlPlaneCredentials(authority: Authority) {
  const leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: hour_ms });
  return {
    keyPem: leaf.key.export({ format: "pem", type: "pkcs8" }).toString(),
    chainPem: leaf.chainPem,
    rootPem: authority.trustBundle,
    clientIssuersPem: [authority.runnersIssuerPem],
  };
}

export interface SecureWorld {
  readonly authority: Authority;
  readonly server: SecureServer;
  readonly refused: OverlayError[];
  dial(signal?: AbortSignal): Promise<Duplex>;
  /** Dials, secures, and speaks HTTP/2; closed with the world. */
  connect(credentials?: SecureClientOptions): Promise<http2.ClientHttp2Session>;
  close(): Promise<void>;
}

export interface WorldOptions extends Partial<SecureServerOptions> {
  readonly limits?: Partial<SecureLimits>;
}

/** A control plane behind an overlay's listener, and the means to dial it. Requests are echoed unless told otherwise. */
export async function openSecureWorld<E>(overlay: Overlay<E>, options: WorldOptions = {}): Promise<SecureWorld> {
  const authority = await newAuthority();
  const refused: OverlayError[] = [];
  const server = openSecureServer({
    ...(await controlPlaneCredentials(authority)),
    onRequest: (request, response) => void request.pipe(response),
    onRefused: (error: OverlayError, _from: Caller) => void refused.push(error),
    ...options,
    limits: { handshakeTimeout_ms: patience_ms, ...options.limits },
  });
  const listener = await overlay.listen("control-plane", (connection, from) => server.accept(connection, from));
  const sessions = new Set<http2.ClientHttp2Session>();
  const dial = (signal?: AbortSignal) => overlay.dial(listener.address, signal === undefined ? {} : { signal });

  return {
    authority,
    server,
    refused,
    dial,
    async connect(credentials) {
      const chosen = credentials ?? (await runnerCredentials(authority));
      const socket = await openSecureSocket(dial, {
        handshakeTimeout_ms: patience_ms,
        ...chosen,
        signal: AbortSignal.timeout(patience_ms),
      });
      const session = http2.connect("https://control-plane", { createConnection: () => socket });
      session.on("error", () => {});
      sessions.add(session);
      return session;
    },
    async close() {
      for (const session of sessions) session.destroy();
      await server.close({ grace_ms: 100 });
      await listener.close();
      await overlay.close();
    },
  };
}
