import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { createContextValues, type ConnectRouter } from "@connectrpc/connect";
import type { Interceptor } from "@connectrpc/connect";
import { isLoopback, type Address } from "../config.ts";
import { isWithin } from "../identity/source-address.ts";
import { boundSession, defaultConnectionBounds, type ConnectionBounds } from "./connection-bounds.ts";
import { sourceKey } from "./context.ts";
import { isHookPath, type Hooks } from "./hooks.ts";
import type { PlainHandler } from "./artifact-download.ts";
import { createRequestHandler, type RequestHandler } from "./request-handler.ts";

/** Who asks for a page. `isLocal`: a program of this machine, for itself. */
export type PageRequest = { path: string; isLocal: boolean; authorization: string | null };
/** What the user port serves beside the contract: text for a path, or `undefined`. */
export type PlainPages = (request: PageRequest) => Promise<{ status: number; type: string; body: string } | undefined>;

export type UserPlaneOptions = {
  listen: Address;
  /** Certificate chain and key, in PEM. */
  tls: { cert: string; key: string } | undefined;
  routes: (router: ConnectRouter) => void;
  interceptors: Interceptor[];
  pages: PlainPages;
  /** Answers what is posted to a hook. */
  hooks: Hooks;
  /** Serves other plain requests. */
  plain: PlainHandler;
  /** Proxies whose X-Forwarded-For is believed. */
  trustedProxies: readonly string[];
  bounds?: Partial<ConnectionBounds>;
  /** Paths of methods whose requests go on beside their answers. */
  conversations: ReadonlySet<string>;
};

export type UserPlane = { address: Address; close(grace_ms: number): Promise<void> };

/** A request or answer is at most so large. */
export const maximumMessage_bytes = 8 * 1024 * 1024;
const sniffTimeout_ms = 10_000;
const connectionLimit = 10_000;
/** After so long without a word the system asks whether the other side is still there. */
const tcpKeepAlive_ms = 60_000;
const preface = Buffer.from("PRI * HTTP/2.0");
/** No method of HTTP/1.1 begins with so many bytes of the preface. */
const decisive_bytes = 3;

/** Opens the user port: gRPC, gRPC-Web, Connect and JSON, over HTTP/1.1 and HTTP/2, in clear or with TLS. */
export async function openUserPlane(options: UserPlaneOptions): Promise<UserPlane> {
  const handle = createRequestHandler({
    routes: options.routes,
    interceptors: options.interceptors,
    readMaxBytes: maximumMessage_bytes,
    contextValues: (request) => createContextValues().set(sourceKey, sourceOf(request, options.trustedProxies)),
  });
  const onRequest: RequestHandler = (request, response) => {
    const path = request.url ?? "/";
    if (isHookPath(path)) {
      options.hooks(request as http.IncomingMessage, response as http.ServerResponse);
      return;
    }
    if ((request.method !== "GET" && request.method !== "HEAD") || path.includes(".v1.")) {
      handle(request, response);
      return;
    }
    const asked = {
      path,
      isLocal: isLocal(request),
      authorization: request.headers.authorization ?? null,
    };
    void answerPlain(options, asked, request as http.IncomingMessage, response as http.ServerResponse);
  };
  const sockets = new Set<net.Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  const bounds = { ...defaultConnectionBounds, ...options.bounds };
  const { tls, conversations } = options;
  const onSession = (session: http2.ServerHttp2Session) => {
    sessions.add(session);
    boundSession(session, bounds, conversations);
    session.once("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
  };
  const server = tls ? openTls(tls, { bounds, onRequest, onSession }) : openClear({ bounds, onRequest, onSession });
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.setKeepAlive(true, tcpKeepAlive_ms);
    socket.once("close", () => sockets.delete(socket));
  });
  server.maxConnections = connectionLimit;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.listen.port, options.listen.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { port } = server.address() as net.AddressInfo;
  return {
    address: { host: options.listen.host, port },
    async close(grace_ms) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.close();
      const timer = setTimeout(() => {
        for (const session of sessions) session.destroy();
        for (const socket of sockets) socket.destroy();
      }, grace_ms);
      await closed;
      clearTimeout(timer);
    },
  };
}

const limits = {
  maxHeaderListPairs: 128,
  maxSessionInvalidFrames: 100,
  settings: { maxConcurrentStreams: 256, maxHeaderListSize: 32_768 },
} as const;

/** Of HTTP/1.1, where the time between two requests of a connection begins when the first is answered. */
function timeoutsOf({ header_ms, request_ms, idle_ms }: ConnectionBounds) {
  return {
    headersTimeout: header_ms,
    requestTimeout: request_ms,
    keepAliveTimeout: idle_ms,
    connectionsCheckingInterval: Math.ceil(header_ms / 3),
  };
}

type Listening = {
  bounds: ConnectionBounds;
  onRequest: RequestHandler;
  onSession: (session: http2.ServerHttp2Session) => void;
};

function openTls({ cert, key }: { cert: string; key: string }, { bounds, onRequest, onSession }: Listening) {
  const options = {
    ...limits,
    ...timeoutsOf(bounds),
    allowHTTP1: true,
    minVersion: "TLSv1.2",
    handshakeTimeout: sniffTimeout_ms,
    cert,
    key,
  } as const;
  return http2.createSecureServer(options, onRequest).on("session", onSession);
}

/** In clear, one port serves both versions of HTTP: the first bytes of a connection tell which it speaks. */
function openClear({ bounds, onRequest, onSession }: Listening) {
  const one = http.createServer({ ...timeoutsOf(bounds), maxHeaderSize: 32_768 }, onRequest);
  // It listens nowhere, and only a server that listens looks after the time-outs of its connections.
  one.emit("listening");
  const two = http2.createServer(limits, onRequest);
  two.on("session", onSession);
  const server = net.createServer((socket) => {
    socket.setTimeout(sniffTimeout_ms, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    let start = Buffer.alloc(0);
    const onReadable = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      start = Buffer.concat([start, chunk]);
      // "P" begins both the preface and a POST.
      if (start.length < decisive_bytes && preface.subarray(0, start.length).equals(start)) return;
      socket.off("readable", onReadable);
      socket.setTimeout(0);
      socket.unshift(start);
      const speaksTwo = start.subarray(0, preface.length).equals(preface.subarray(0, start.length));
      (speaksTwo ? two : one).emit("connection", socket);
    };
    socket.on("readable", onReadable);
  });
  return server.on("close", () => one.close());
}

async function answerPlain(
  { plain, pages }: UserPlaneOptions,
  asked: PageRequest,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  if (!(await plain(request, response))) await answerPage(pages, asked, response);
}

async function answerPage(pages: PlainPages, asked: PageRequest, response: http.ServerResponse): Promise<void> {
  const page = (await pages(asked)) ?? { status: 404, type: "text/plain", body: "not found\n" };
  response.writeHead(page.status, {
    "content-type": `${page.type}; charset=utf-8`,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  response.end(page.body);
}

type Sourced = { headers: http.IncomingHttpHeaders; socket?: net.Socket | null; stream?: http2.Http2Stream };

/** The connection's address. */
function directOf({ socket, stream }: Sourced): string {
  return (socket ?? stream?.session?.socket)?.remoteAddress ?? "";
}

/** Whether a program of this machine asks, and not a proxy here that passes on what somebody else asks. */
function isLocal(request: Sourced): boolean {
  const { "x-forwarded-for": forwardedFor, forwarded, via } = request.headers;
  const isPassedOn = [forwardedFor, forwarded, via].some((header) => header !== undefined);
  return !isPassedOn && isLoopback(directOf(request).replace(/^::ffff:/, ""));
}

/** The caller's address: what a trusted proxy says, else the connection's. */
function sourceOf(request: Sourced, trustedProxies: readonly string[]): string {
  const direct = directOf(request);
  const forwarded = String(request.headers["x-forwarded-for"] ?? "");
  if (forwarded === "" || trustedProxies.length === 0 || !isWithin(direct, trustedProxies)) return direct;
  const hops = forwarded.split(",").map((hop) => hop.trim());
  return hops.findLast((hop) => net.isIP(hop) !== 0 && !isWithin(hop, trustedProxies)) ?? direct;
}
