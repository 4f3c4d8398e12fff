import { FrameError, type Frame } from "./frames.ts";
import { flag, header, maxData_bytes, numberIn, type } from "./messages.ts";
import type { ServiceSession } from "../model.ts";
import type { Circuit, Client, End, Routing } from "./state.ts";
import { createEntityId } from "../table.ts";

/** How much of one end's data may wait for the other end before the router stops reading from it. */
const window_bytes = 512 * 1024;

const streamHeader_bytes = 24;
/** What encryption adds to each message. */
const seal_bytes = 17;
const knownFlags = flag.fin | flag.multipart | flag.stream | flag.multipartMessage;

/** Begins a circuit that has no ends yet. */
export function createCircuit(routing: Routing, session: ServiceSession, isEncrypted: boolean): Circuit {
  const circuit = { id: createEntityId(), session, isEncrypted, isClosed: false, dialer: undefined, host: undefined };
  routing.circuits.add(circuit);
  return circuit;
}

/** Gives a circuit its end at a client. */
export function addEnd(circuit: Circuit, side: "dialer" | "host", client: Client, connId: number): void {
  const end = { client, connId, circuit, nextSequence: 0, hasFinished: false, hasBegun: false, inFlight_bytes: 0 };
  circuit[side] = end;
  client.ends.set(connId, end);
}

/** Ends a circuit and says so, in these words, at each end but the one that said it. */
export function closeCircuit(routing: Routing, circuit: Circuit, words: string, saidBy?: End): void {
  circuit.isClosed = true;
  routing.circuits.delete(circuit);
  for (const end of [circuit.dialer, circuit.host]) {
    if (end === undefined || !end.client.ends.delete(end.connId)) continue;
    end.client.channel.release(end);
    if (end !== saidBy) end.client.channel.send(type.stateClosed, [[header.connId, end.connId]], words);
  }
}

/** Passes data on to the other end, without the number it came under. Throws a `FrameError` on what may not be sent. */
export function forward(end: End, frame: Frame): void {
  const { circuit, client } = end;
  const peer = circuit.dialer === end ? circuit.host : circuit.dialer;
  if (peer === undefined) throw new FrameError(`Data on ${end.connId} before it was connected`);
  check(end, frame);

  const length = frame.body.length;
  const flags = frame.headers.has(header.flags) ? ([[header.flags, numberIn(frame, header.flags)]] as const) : [];
  end.inFlight_bytes += length;
  if (end.inFlight_bytes > window_bytes) client.channel.hold(end);
  peer.client.channel.sendData(type.data, [[header.connId, peer.connId], ...flags], frame.body, () => {
    end.inFlight_bytes -= length;
    if (end.inFlight_bytes <= window_bytes / 2) client.channel.release(end);
  });
}

function check(end: End, frame: Frame): void {
  const sequence = numberIn(frame, header.sequence);
  if (sequence !== end.nextSequence) {
    throw new FrameError(`Data on ${end.connId} is numbered ${sequence}, not ${end.nextSequence}`);
  }
  end.nextSequence = (sequence + 1) >>> 0;
  if (end.hasFinished) throw new FrameError(`Data on ${end.connId} after its FIN`);

  const flags = numberIn(frame, header.flags);
  const { length } = frame.body;
  if ((flags & ~knownFlags) !== 0) throw new FrameError(`Data on ${end.connId} has the unknown flags ${flags}`);
  if (length > maxData_bytes) throw new FrameError(`Data on ${end.connId} has ${length} bytes, over ${maxData_bytes}`);
  if ((flags & flag.fin) === 0) return checkSeal(end, length);
  if (length > 0) throw new FrameError(`Data on ${end.connId} has a FIN and ${length} bytes`);
  end.hasFinished = true;
  return undefined;
}

function checkSeal(end: End, length: number): void {
  if (!end.circuit.isEncrypted) return;
  if (!end.hasBegun && length !== streamHeader_bytes) {
    throw new FrameError(
      `Data on ${end.connId} begins with ${length} bytes, not a stream header's ${streamHeader_bytes}`,
    );
  }
  if (end.hasBegun && length < seal_bytes) throw new FrameError(`Data on ${end.connId} is too short to be sealed`);
  end.hasBegun = true;
}
