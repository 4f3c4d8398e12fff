import { FrameError, type Frame, type Header } from "./frames.ts";

/** Content types of the edge protocol. */
export const type = {
  hello: 0,
  ping: 1,
  result: 2,
  latency: 3,
  connect: 60783,
  stateConnected: 60784,
  stateClosed: 60785,
  data: 60786,
  dial: 60787,
  dialSuccess: 60788,
  dialFailed: 60789,
  bind: 60790,
  unbind: 60791,
  updateBind: 60794,
  inspect: 60798,
  inspectAnswer: 60799,
  bindSuccess: 60800,
  tokenUpdated: 60801,
  tokenRefused: 60802,
  updateToken: 60803,
} as const;

/** Headers of the edge protocol. */
export const header = {
  connectionId: 0,
  replyFor: 1,
  success: 2,
  version: 4,
  routerId: 8,
  reflected: 128,
  connId: 1000,
  sequence: 1001,
  sessionToken: 1002,
  publicKey: 1003,
  cost: 1004,
  precedence: 1005,
  terminatorIdentity: 1006,
  terminatorSecret: 1007,
  callerId: 1008,
  cryptoMethod: 1009,
  flags: 1010,
  appData: 1011,
  routerConnId: 1012,
  errorCode: 1014,
  listenerId: 1021,
  connType: 1022,
  supportsInspect: 1023,
  supportsBindSuccess: 1024,
  marker: 1025,
  circuitId: 1026,
  posture: 1032,
  dialerId: 1034,
  dialerName: 1035,
} as const;

/** Flags of a data message. */
export const flag = { fin: 1, traceUuid: 2, multipart: 4, stream: 8, multipartMessage: 16 } as const;

/** What an answer to an inspection says of a listener. */
export const listenerConnType = 2;

/** The largest body of a data message, in bytes. */
export const maxData_bytes = 31 * 1024;

type Shape = "u8" | "bool" | "u16" | "u32" | "text" | "bytes" | "key";
type Fields = Readonly<Record<number, readonly [shape: Shape, presence: "required" | "optional"]>>;

const connection: Fields = { [header.connId]: ["u32", "required"] };
const reply: Fields = { [header.replyFor]: ["u32", "required"] };
const maxText_bytes = 16 * 1024;
const key_bytes = 32;

/** What a client may send, and the headers each message must and may have. */
const messages: Readonly<Record<number, readonly [name: string, fields: Fields]>> = {
  [type.hello]: [
    "Hello",
    { [header.sessionToken]: ["text", "required"], [header.supportsInspect]: ["bool", "optional"] },
  ],
  [type.ping]: ["Ping", {}],
  [type.result]: [
    "Result",
    {
      ...reply,
      [header.success]: ["bool", "optional"],
      [header.version]: ["text", "optional"],
      [header.reflected]: ["bytes", "optional"],
    },
  ],
  [type.latency]: ["Latency", { [header.reflected]: ["bytes", "optional"] }],
  [type.connect]: [
    "Connect",
    {
      ...connection,
      [header.sequence]: ["u32", "required"],
      [header.marker]: ["text", "required"],
      [header.callerId]: ["text", "required"],
      [header.publicKey]: ["key", "optional"],
      [header.cryptoMethod]: ["u8", "optional"],
      [header.terminatorIdentity]: ["text", "optional"],
      [header.appData]: ["bytes", "optional"],
    },
  ],
  [type.bind]: [
    "Bind",
    {
      ...connection,
      [header.sequence]: ["u32", "required"],
      [header.listenerId]: ["key", "required"],
      [header.supportsInspect]: ["bool", "optional"],
      [header.supportsBindSuccess]: ["bool", "optional"],
      [header.routerConnId]: ["bool", "required"],
      [header.publicKey]: ["key", "optional"],
      [header.cryptoMethod]: ["u8", "optional"],
      [header.terminatorIdentity]: ["text", "optional"],
      [header.terminatorSecret]: ["bytes", "optional"],
      [header.cost]: ["u16", "optional"],
      [header.precedence]: ["u8", "optional"],
    },
  ],
  [type.unbind]: ["Unbind", { ...connection, [header.sequence]: ["u32", "optional"] }],
  [type.updateBind]: [
    "UpdateBind",
    {
      ...connection,
      [header.sequence]: ["u32", "optional"],
      [header.cost]: ["u16", "optional"],
      [header.precedence]: ["u8", "optional"],
    },
  ],
  [type.inspectAnswer]: ["ConnInspect answer", { ...reply, ...connection, [header.connType]: ["u8", "required"] }],
  [type.dialSuccess]: ["DialSuccess", { ...reply, ...connection, [header.sequence]: ["u32", "required"] }],
  [type.dialFailed]: ["DialFailed", { ...reply, ...connection, [header.sequence]: ["u32", "optional"] }],
  [type.data]: ["Data", { ...connection, [header.sequence]: ["u32", "required"], [header.flags]: ["u32", "optional"] }],
  [type.stateClosed]: [
    "StateClosed",
    { ...connection, [header.sequence]: ["u32", "optional"], [header.errorCode]: ["u32", "optional"] },
  ],
  [type.updateToken]: ["UpdateToken", {}],
};

/** The same, made ready to be looked up for every frame. */
const known = new Map(
  Object.entries(messages).map(([id, [name, fields]]) => {
    const shapes = new Map(Object.entries(fields).map(([field, [shape]]) => [Number(field), shape]));
    const required = [...shapes.keys()].filter((field) => fields[field]?.[1] === "required");
    return [Number(id), { name, shapes, required }] as const;
  }),
);

/** Throws a `FrameError` unless a message from a client has the headers that it must and may have. */
export function checkFrame(frame: Frame): void {
  const message = known.get(frame.type);
  if (message === undefined) throw new FrameError(`content type ${frame.type} is none that a client sends`);

  const { name, shapes, required } = message;
  for (const [id, value] of frame.headers) {
    const shape = shapes.get(id);
    if (shape === undefined) throw new FrameError(`${name} has the unknown header ${id}`);
    if (!fits(shape, value)) throw new FrameError(`${name}: header ${id} is no ${shape} (${value.length} bytes)`);
  }
  for (const id of required) if (!frame.headers.has(id)) throw new FrameError(`${name} lacks the header ${id}`);
}

/** The header by which a Result says yes or no. */
export function success(yes: boolean): Header {
  return [header.success, Buffer.from([yes ? 1 : 0])];
}

/** Reads a u32 header that is there. */
export function numberIn(frame: Frame, id: number): number {
  return frame.headers.get(id)?.readUInt32LE(0) ?? 0;
}

/** Reads a header of text; empty when it is absent. */
export function textIn(frame: Frame, id: number): string {
  return frame.headers.get(id)?.toString() ?? "";
}

/** Reads a header of one byte that says yes or no; no when it is absent. */
export function isSet(frame: Frame, id: number): boolean {
  return frame.headers.get(id)?.[0] === 1;
}

function fits(shape: Shape, value: Buffer): boolean {
  switch (shape) {
    case "u8":
      return value.length === 1;
    case "bool":
      return value.length === 1 && (value[0] === 0 || value[0] === 1);
    case "u16":
      return value.length === 2;
    case "u32":
      return value.length === 4;
    case "key":
      return value.length === key_bytes;
    case "bytes":
      return value.length <= maxText_bytes;
    case "text":
      return value.length > 0 && value.length <= maxText_bytes && value.equals(Buffer.from(value.toString()));
  }
}
