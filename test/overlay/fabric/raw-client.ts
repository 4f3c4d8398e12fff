import { once } from "node:events";
import https from "node:https";
import tls, { type ConnectionOptions, type TLSSocket } from "node:tls";
import type { Fabric, FabricIdentity } from "../../support/fabric/fabric.ts";

/** What came over a raw connection, header by header. */
export interface RawFrame {
  readonly type: number;
  readonly sequence: number;
  readonly headers: Record<number, Buffer>;
  readonly body: Buffer;
}

/** An edge connection with nothing above its framing: what a test says is what goes out. */
export interface RawEdge {
  readonly socket: TLSSocket;
  /** Sends a frame and returns its sequence. Numbers become u32, booleans one byte. */
  send(
    type: number,
    headers: Readonly<Record<number, Buffer | string | number | boolean>>,
    body?: Buffer | string,
  ): number;
  /** The next frame; throws when the connection ends first, or none comes in time. */
  next(): Promise<RawFrame>;
  /** The next frame, which must be of this type. */
  expect(type: number): Promise<RawFrame>;
  /** Resolves when the router has ended the connection. */
  readonly ended: Promise<void>;
}

const patience_ms = 10_000;

/** Connects to a router, and says nothing. */
export async function connectRaw(fabric: Fabric, options: ConnectionOptions & { readonly router?: string }) {
  const { port } = new URL(`tls://${fabric.router(options.router).address}`);
  const socket = tls.connect({ host: "127.0.0.1", port: Number(port), ca: fabric.caPem, ...options });
  await once(socket, "secureConnect");
  return rawEdge(socket);
}

/** Connects and says Hello; the token is not yet looked up when this resolves. */
export async function hello(fabric: Fabric, who: FabricIdentity, token: string, router?: string): Promise<RawEdge> {
  const edge = await connectRaw(fabric, {
    key: who.keyPem,
    cert: who.certPem,
    ...(router === undefined ? {} : { router }),
  });
  edge.send(0, { 1002: token }, "raw client");
  await edge.expect(2);
  return edge;
}

/** Encodes one frame. */
export function rawFrame(
  type: number,
  sequence: number,
  headers: Readonly<Record<number, Buffer | string | number | boolean>>,
  body: Buffer | string = "",
): Buffer {
  const encoded = Object.entries(headers).map(([id, value]) => {
    const bytes = valueBytes(value);
    return Buffer.concat([u32(Number(id)), u32(bytes.length), bytes]);
  });
  const all = Buffer.concat(encoded);
  const bodyBytes = Buffer.from(body);
  const head = [0x0c090603, type, sequence, all.length, bodyBytes.length].map(u32);
  return Buffer.concat([...head, all, bodyBytes]);
}

function rawEdge(socket: TLSSocket): RawEdge {
  const frames: RawFrame[] = [];
  let bytes = Buffer.alloc(0);
  let wake = Promise.withResolvers<void>();
  let sequence = 0;
  const ended = new Promise<void>((done) => void socket.on("close", () => done()));
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (let frame = take(); frame !== undefined; frame = take()) frames.push(frame);
    wake.resolve();
  });
  const take = (): RawFrame | undefined => {
    if (bytes.length < 20) return undefined;
    const bodyAt = 20 + bytes.readUInt32LE(12);
    const end = bodyAt + bytes.readUInt32LE(16);
    if (bytes.length < end) return undefined;
    const headers: Record<number, Buffer> = {};
    for (let at = 20; at < bodyAt; at += 8 + bytes.readUInt32LE(at + 4)) {
      headers[bytes.readUInt32LE(at)] = bytes.subarray(at + 8, at + 8 + bytes.readUInt32LE(at + 4));
    }
    const frame = {
      type: bytes.readUInt32LE(4),
      sequence: bytes.readInt32LE(8),
      headers,
      body: bytes.subarray(bodyAt, end),
    };
    bytes = bytes.subarray(end);
    return frame;
  };
  const next = async (): Promise<RawFrame> => {
    for (;;) {
      const frame = frames.shift();
      if (frame !== undefined) return frame;
      wake = Promise.withResolvers<void>();
      const late = AbortSignal.timeout(patience_ms);
      const lateness = new Promise<"late">((done) => late.addEventListener("abort", () => done("late")));
      const what = await Promise.race([wake.promise, ended.then(() => "ended" as const), lateness]);
      if (what !== undefined && frames.length === 0) throw new Error(`no frame came: ${what}`);
    }
  };
  return {
    socket,
    ended,
    next,
    send(type, headers, body) {
      socket.write(rawFrame(type, sequence, headers, body));
      return sequence++;
    },
    async expect(type) {
      const frame = await next();
      if (frame.type !== type) throw new Error(`${frame.type} came, not ${type}: ${frame.body.toString()}`);
      return frame;
    },
  };
}

/** An answer of the controller. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The body as JSON: an envelope, mostly. */
  json(): { data: Record<string, unknown>; error: Record<string, unknown>; meta: Record<string, unknown> } & Record<
    string,
    unknown
  >;
}

/** Calls the controller; `as` shows a certificate, `body` that is no text goes as JSON. */
export async function rest(
  fabric: Fabric,
  request: string,
  options: {
    readonly as?: Pick<FabricIdentity, "keyPem" | "certPem">;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: unknown;
  } = {},
): Promise<RestAnswer> {
  const [method = "", path = ""] = request.split(" ");
  const { as, body } = options;
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const type: Record<string, string> = typeof body === "object" ? { "content-type": "application/json" } : {};
  const sent = https.request(new URL(path, fabric.url), {
    method,
    ca: fabric.caPem,
    agent: false,
    headers: { ...type, ...options.headers },
    ...(as === undefined ? {} : { key: as.keyPem, cert: as.certPem }),
  });
  sent.end(body === undefined ? undefined : text);
  const answered = new Promise<RestAnswer>((resolve, reject) => {
    sent.on("error", reject);
    sent.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const all = Buffer.concat(chunks).toString();
        const json = () => JSON.parse(all) as ReturnType<RestAnswer["json"]>;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: all, json });
      });
    });
  });
  return answered;
}

/** Logs in by certificate; the legacy way. */
export async function legacyLogin(fabric: Fabric, who: FabricIdentity): Promise<string> {
  const answer = await rest(fabric, "POST /edge/client/v1/authenticate?method=cert", { as: who });
  return String(answer.json().data["token"]);
}

/** The token of a new service session, by the legacy or the OIDC token of an API session. */
export async function serviceSession(fabric: Fabric, token: string, serviceId: string, type: "Dial" | "Bind") {
  const answer = await rest(fabric, "POST /edge/client/v1/sessions", {
    headers: tokenHeader(token),
    body: { serviceId, type },
  });
  if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`);
  return String(answer.json().data["token"]);
}

/** How either kind of token is shown. */
export function tokenHeader(token: string): Record<string, string> {
  return token.includes(".") ? { authorization: `Bearer ${token}` } : { "zt-session": token };
}

function valueBytes(value: Buffer | string | number | boolean): Buffer {
  if (typeof value === "number") return u32(value);
  if (typeof value === "boolean") return Buffer.from([value ? 1 : 0]);
  return Buffer.from(value);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
