import { createContextValues, type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import type { Http2ServerRequest } from "node:http2";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import { createMtlsOverlay } from "../../../overlay/mtls.ts";
import type { Caller } from "../../../overlay/overlay.ts";
import { createSidecarOverlay, type SidecarEndpoint } from "../../../overlay/sidecar.ts";
import { openSecureServer } from "../../../overlay/secure-server.ts";
import type { SecureSession } from "../../../overlay/secure-sessions.ts";
import type { Address } from "../config.ts";
import type { Authority, ControlPlaneLeaf } from "../identity/authority.ts";
import { readRunnerPeer } from "../identity/peer.ts";
import { answersKey, callerKey, sourceKey } from "./context.ts";
import { createRequestHandler } from "./request-handler.ts";
import { maximumMessage_bytes } from "./user-plane.ts";

export type RunnerPlaneOptions = {
  /** Where it listens for TCP connections, and where a tunneler hands connections on, if it does and one does. */
  listen: { tcp: Address | undefined; sidecar: SidecarEndpoint | undefined };
  authority: Authority;
  leaf: ControlPlaneLeaf;
  routes: (router: ConnectRouter) => void;
  interceptors: Interceptor[];
  log: Logger;
};

/** The listener of runners: an overlay beneath, mutual TLS above it, HTTP/2 on that. */
export type RunnerPlane = {
  /** Where it listens for TCP connections, if it does. */
  address: Address | undefined;
  /** Takes over a connection that came by another overlay. */
  accept(connection: Duplex, from: Caller): void;
  /** The keys of the certificates with which a runner is connected. */
  keysOf(runnerId: string): readonly string[];
  /** From where such a connection comes; empty where there is none any more. */
  sourceOf(runnerId: string, key: string): string;
  /** Cuts every connection that a runner has now with these keys, after a moment in which what was said still reaches it. */
  disconnect(runner: { id: string; keys: readonly string[] }, why: string, after_ms: number): void;
  disconnectAll(why: string): void;
  /** Shows another certificate from the next connection on. */
  replaceLeaf(leaf: ControlPlaneLeaf): void;
  close(grace_ms: number): Promise<void>;
};

const service = "runner-plane";
/** For the answer to a sign of life. */
const answerTimeout_ms = 5000;

/** Listens for runners; every call comes with the runner that its connection's certificate names. */
export async function openRunnerPlane(options: RunnerPlaneOptions): Promise<RunnerPlane> {
  const { authority } = options;
  const { tcp, sidecar } = options.listen;
  const sessions = new Map<string, Map<SecureSession, string>>();
  const handle = createRequestHandler({
    routes: options.routes,
    interceptors: options.interceptors,
    readMaxBytes: maximumMessage_bytes,
    contextValues: (request) => {
      const { peer, from, answers } = server.sessionOf(request as Http2ServerRequest);
      const runner = readRunnerPeer(peer, authority.trustDomain);
      const values = createContextValues().set(sourceKey, from.address);
      values.set(answersKey, () => answers(answerTimeout_ms));
      if ("error" in runner) return values;
      return values.set(callerKey, {
        kind: "runner",
        runnerId: runner.runnerId,
        spkiSha256: runner.spkiSha256,
        expireTime: runner.notAfter,
      });
    },
  });
  const server = openSecureServer({
    ...certificateOf(options.leaf),
    rootPem: authority.trustBundle,
    clientIssuersPem: [authority.runnersIssuerPem],
    onRequest: handle,
    onRefused: (error, from) => options.log.info({ err: error, from: from.address }, "runner connection refused"),
    onSession: (session) => {
      const runner = readRunnerPeer(session.peer, authority.trustDomain);
      if ("error" in runner) {
        session.end(runner.error);
        return;
      }
      const own = sessions.get(runner.runnerId) ?? new Map<SecureSession, string>();
      sessions.set(runner.runnerId, own.set(session, runner.spkiSha256));
      void session.closed.finally(() => {
        own.delete(session);
        if (own.size === 0) sessions.delete(runner.runnerId);
      });
    },
  });
  const accept = (connection: Duplex, from: Caller) => server.accept(connection, from);
  const overlay = createMtlsOverlay(tcp && { services: { [service]: tcp } });
  const tunnelers = createSidecarOverlay(sidecar === undefined ? {} : { services: { [service]: sidecar } });
  const listener = tcp && (await overlay.listen(service, accept));
  if (sidecar !== undefined) await tunnelers.listen(service, accept);
  let closing: Promise<unknown> | undefined;
  return {
    address: listener && { host: listener.address.host, port: listener.address.port },
    accept,
    keysOf: (runnerId) => [...new Set(sessions.get(runnerId)?.values())],
    sourceOf: (runnerId, key) => {
      const own = [...(sessions.get(runnerId) ?? [])];
      return own.find(([, other]) => other === key)?.[0].from.address ?? "";
    },
    disconnect({ id, keys }, why, after_ms) {
      const own = [...(sessions.get(id) ?? [])];
      const open = own.filter(([, key]) => keys.includes(key)).map(([session]) => session);
      setTimeout(() => {
        for (const session of open) session.end(why);
      }, after_ms).unref();
    },
    disconnectAll(why) {
      for (const own of sessions.values()) for (const session of own.keys()) session.end(why);
    },
    replaceLeaf: (leaf) => server.replaceCertificate(certificateOf(leaf)),
    async close(grace_ms) {
      // The listener is closed once its connections are, and those are the server's to end.
      closing ??= Promise.all([overlay.close(), tunnelers.close(), server.close({ grace_ms })]);
      await closing;
    },
  };
}

function certificateOf(leaf: ControlPlaneLeaf) {
  return { keyPem: leaf.key.export({ type: "pkcs8", format: "pem" }), chainPem: leaf.chainPem };
}
