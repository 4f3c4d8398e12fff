import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { ApiError, findRoute, type Answer, type Call, type Route } from "./http.ts";
import { certificatesShown, type KeyPair } from "../pki.ts";
import { NameTaken } from "../table.ts";
import type { FabricVersion } from "../state.ts";
import type { Violations } from "../violations.ts";

/** The TLS listener of a controller, and what can go wrong with it. */
export interface ControllerListener {
  readonly port: number;
  /** Resets each connection and refuses new ones, until `back`. */
  away(): void;
  back(): void;
  /** Answers the next `times` requests with this error instead. */
  failNext(status: number, code: string, times: number): void;
  close(): Promise<void>;
}

const maxBody_bytes = 1024 * 1024;

/** Listens on a port of its own and answers by `routes`. Client certificates are asked for, and judged by the routes. */
export async function openControllerListener(options: {
  readonly version: FabricVersion;
  readonly identity: KeyPair;
  readonly caPem: string;
  readonly routes: readonly Route[];
  readonly violations: Violations;
}): Promise<ControllerListener> {
  const instanceId = randomUUID();
  const failures: { status: number; code: string }[] = [];
  const sockets = new Set<TLSSocket>();
  let isAway = false;

  const server = https.createServer({
    key: options.identity.keyPem,
    cert: options.identity.certPem + options.caPem,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
  });
  server.on("connection", (socket) => {
    if (isAway) socket.resetAndDestroy();
  });
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("request", (request, response) => {
    void respond(request, response).catch(() => response.destroy());
  });

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await answerTo(request);
    const body = answer.raw?.body ?? JSON.stringify(envelope(answer));
    response.writeHead(answer.status, {
      "content-type": answer.raw?.type ?? "application/json",
      "content-length": Buffer.byteLength(body),
      "ziti-instance-id": instanceId,
      ...answer.headers,
    });
    response.end(body);
  }

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    const where = `${request.method} ${request.url}`;
    try {
      const body = await bodyOf(request);
      const failure = failures.shift();
      if (failure !== undefined) throw new ApiError(failure.status, failure.code, "The fabric was told to fail here");
      return await handle(request, body);
    } catch (error) {
      const refusal = asRefusal(error);
      if (refusal.violation)
        options.violations.add(`${where}: ${refusal.message} ${JSON.stringify(refusal.fault ?? {})}`);
      return errorAnswer(refusal, options.version);
    }
  }

  async function handle(request: IncomingMessage, body: Buffer): Promise<Answer> {
    const { method = "", headers } = request;
    const { pathname: path, searchParams: query } = new URL(request.url ?? "", "https://controller");
    const found = findRoute(options.routes, method, path);
    if (found === undefined) {
      throw new ApiError(404, "NOT_FOUND", `there is no ${method} ${path}`, { violation: true });
    }
    const { route, params } = found;
    const [, run, known = []] = route;
    for (const key of query.keys()) if (!known.includes(key)) throw unknownQuery(key);
    const [peer, ...chain] = certificatesShown(request.socket as TLSSocket);
    const call: Call = { method, path, params, query, headers, body, peer, chain };
    return run(call);
  }

  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    away() {
      isAway = true;
      for (const socket of sockets) socket.destroy();
    },
    back: () => void (isAway = false),
    failNext(status, code, times) {
      for (let left = times; left > 0; left--) failures.push({ status, code });
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

function envelope({ data = {}, meta = {} }: Answer): object {
  return { data, meta };
}

/** The envelope of a refusal. From 2.0 on, a 401 says how to log in. */
function errorAnswer(error: ApiError, version: FabricVersion): Answer {
  const { code, message, fault } = error;
  const cause = fault === undefined ? {} : { cause: fault, causeMessage: fault.reason };
  const body = JSON.stringify({ error: { code, message, requestId: randomUUID(), args: null, ...cause }, meta: {} });
  const headers: Record<string, string> =
    error.status === 401 && version !== "1.6.20" ? { "www-authenticate": 'zt-session realm="zt-session"' } : {};
  return { status: error.status, raw: { type: "application/json", body }, headers };
}

function asRefusal(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof NameTaken) {
    const fault = { field: "name", reason: "name must be unique", value: error.value };
    return new ApiError(400, "COULD_NOT_VALIDATE", "The supplied request contains an invalid document", { fault });
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ApiError(500, "UNHANDLED", text, { violation: true });
}

function unknownQuery(key: string): ApiError {
  return new ApiError(400, "COULD_NOT_VALIDATE", `there is no query parameter ${key}`, { violation: true });
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBody_bytes) throw new ApiError(413, "BODY_TOO_LARGE", "the body is too large", { violation: true });
  }
  return Buffer.concat(chunks);
}
