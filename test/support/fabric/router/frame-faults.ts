import type { TLSSocket } from "node:tls";

/** What a router can do to a frame that it sends. */
export type FrameFault = "cut" | "duplicate" | "malform" | "drop" | { readonly delay_ms: number };

/** Faults of a router's frames to its clients, made when they are asked for. */
export interface FrameFaults {
  /** Whether any frame must go through `send`. */
  readonly isArmed: boolean;
  /** Does this to the next `times` frames of a content type, or of any. */
  arm(fault: FrameFault, options?: { readonly type?: number; readonly times?: number }): void;
  /** Delays every frame from now on, in order; 0 ends that. */
  slow(delay_ms: number): void;
  send(socket: TLSSocket, type: number, frame: Buffer, flushed?: () => void): void;
}

type Armed = { readonly fault: FrameFault; readonly type: number | undefined; left: number };

export function createFrameFaults(): FrameFaults {
  const armed: Armed[] = [];
  /** What waits on each connection: frames stay in order behind one that is delayed. */
  const lines = new Map<TLSSocket, Promise<void>>();
  let slow_ms = 0;

  function next(type: number): FrameFault | undefined {
    const found = armed.find((one) => one.type === undefined || one.type === type);
    if (found === undefined) return undefined;
    found.left -= 1;
    if (found.left === 0) armed.splice(armed.indexOf(found), 1);
    return found.fault;
  }

  function delay(socket: TLSSocket, delay_ms: number, write: () => void): void {
    const before = lines.get(socket) ?? Promise.resolve();
    const line = before.then(async () => {
      if (delay_ms > 0) await new Promise((done) => setTimeout(done, delay_ms));
      if (!socket.destroyed) write();
    });
    lines.set(socket, line);
    void line.then(() => {
      if (lines.get(socket) === line) lines.delete(socket);
    });
  }

  return {
    get isArmed() {
      return armed.length > 0 || slow_ms > 0 || lines.size > 0;
    },
    arm(fault, { type, times = 1 } = {}) {
      armed.push({ fault, type, left: times });
    },
    slow: (delay_ms) => void (slow_ms = delay_ms),
    send(socket, type, frame, flushed) {
      const fault = next(type);
      const delay_ms = typeof fault === "object" ? fault.delay_ms : slow_ms;
      delay(socket, delay_ms, () => commit(socket, frame, fault, flushed));
    },
  };
}

function commit(socket: TLSSocket, frame: Buffer, fault: FrameFault | undefined, flushed?: () => void): void {
  if (fault === "drop") return flushed?.();
  if (fault === "cut") {
    socket.end(frame.subarray(0, Math.floor(frame.length / 2)), flushed);
    return undefined;
  }
  if (fault === "duplicate") socket.write(frame);
  socket.write(fault === "malform" ? malformed(frame) : frame, flushed);
  return undefined;
}

/** The frame with a headers' length that no headers have. */
function malformed(frame: Buffer): Buffer {
  const bytes = Buffer.from(frame);
  bytes.writeUInt32LE(0xffff_ffff, 12);
  return bytes;
}
