import { readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { createContextValues, type ConnectRouter } from "@connectrpc/connect";
import type { Interceptor } from "@connectrpc/connect";
import type { Address } from "../config.ts";
import { isWithin } from "../identity/source-address.ts";
import { sourceKey } from "./context.ts";
import type { PlainHandler } from "./artifact-download.ts";
import { createRequestHandler, type RequestHandler } from "./request-handler.ts";

/** What the user port serves beside the contract: text for a path, or `undefined`. */
export type PlainPages = (path: string) => Promise<{ status: number; type: string; body: string } | undefined>;

export type UserPlaneOptions = {
  listen: Address;
  tls: { cert: string; key: string } | undefined;
  routes: (router: ConnectRouter) => void;
  interceptors: Interceptor[];
  pages: PlainPages;
  /** Serves other plain requests. */
  plain: PlainHandler;
  /** Proxies whose X-Forwarded-For is believed. */
  trustedProxies: readonly string[];
  /** How long the headers of an HTTP/1.1 request may take. */
  headerTimeout_ms?: number;
};

export type UserPlane = { address: Address; close(grace_ms: number): Promise<void> };

/** A request or answer is at most so large. */
export const maximumMessage_bytes = 8 * 1024 * 1024;
const defaultHeaderTimeout_ms = 15_000;
const sniffTimeout_ms = 10_000;
const connectionLimit = 10_000;
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
    if (request.method !== "GET" || path.includes(".v1.")) {
      handle(request, response);
      return;
    }
    void answerPlain(options, request as http.IncomingMessage, response as http.ServerResponse);
  };
  const sockets = new Set<net.Socket>();
  const { server, sessions } = options.tls ? openTls(options.tls, onRequest) : openClear(options, onRequest);
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
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

function openTls({ cert, key }: { cert: string; key: string }, onRequest: RequestHandler) {
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createSecureServer(
    { ...limits, allowHTTP1: true, minVersion: "TLSv1.2", cert: readFileSync(cert), key: readFileSync(key) },
    onRequest,
  );
  server.on("session", (session) => track(sessions, session));
  return { server, sessions };
}

/** In clear, one port serves both versions of HTTP: the first bytes of a connection tell which it speaks. */
function openClear({ headerTimeout_ms = defaultHeaderTimeout_ms }: UserPlaneOptions, onRequest: RequestHandler) {
  const sessions = new Set<http2.ServerHttp2Session>();
  const timeouts = { headersTimeout: headerTimeout_ms, connectionsCheckingInterval: headerTimeout_ms / 3 };
  const one = http.createServer({ ...timeouts, maxHeaderSize: 32_768 }, onRequest);
  // It listens nowhere, and only a server that listens looks after the time-outs of its connections.
  one.emit("listening");
  const two = http2.createServer(limits, onRequest);
  two.on("session", (session) => track(sessions, session));
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
  server.on("close", () => one.close());
  return { server, sessions };
}

function track(sessions: Set<http2.ServerHttp2Session>, session: http2.ServerHttp2Session): void {
  sessions.add(session);
  session.once("close", () => sessions.delete(session));
  session.on("error", () => session.destroy());
}

async function answerPlain(
  { plain, pages }: UserPlaneOptions,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  if (!(await plain(request, response))) await answerPage(pages, request.url ?? "/", response);
}

async function answerPage(pages: PlainPages, path: string, response: http.ServerResponse): Promise<void> {
  const page = (await pages(path)) ?? { status: 404, type: "text/plain", body: "not found\n" };
  response.writeHead(page.status, {
    "content-type": `${page.type}; charset=utf-8`,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  response.end(page.body);
}

/** The caller's address: what a trusted proxy says, else the connection's. */
function sourceOf(
  request: { headers: http.IncomingHttpHeaders; socket?: net.Socket | null; stream?: http2.Http2Stream },
  trustedProxies: readonly string[],
): string {
  const socket = request.socket ?? request.stream?.session?.socket;
  const direct = socket?.remoteAddress ?? "";
  const forwarded = String(request.headers["x-forwarded-for"] ?? "");
  if (forwarded === "" || trustedProxies.length === 0 || !isWithin(direct, trustedProxies)) return direct;
  const hops = forwarded.split(",").map((hop) => hop.trim());
  return hops.findLast((hop) => net.isIP(hop) !== 0 && !isWithin(hop, trustedProxies)) ?? direct;
}
