import { once } from "node:events";
import type http2 from "node:http2";
import { Readable, type Duplex } from "node:stream";

/** For what happens at once, unless the machine is busy with something else. */
const deadline_ms = 90_000;

/** Sends `body` and gives the answer's body. Rejects where the stream or the session fails. */
export async function roundTrip(session: http2.ClientHttp2Session, body: string | Uint8Array): Promise<Buffer> {
  const stream = session.request({ ":method": "POST", ":path": "/" });
  let answered = false;
  stream.once("response", () => (answered = true));
  Readable.from(inPieces(Buffer.from(body))).pipe(stream);
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  if (!answered) throw new Error("the connection ended without an answer");
  return Buffer.concat(pieces);
}

function* inPieces(body: Buffer): Generator<Buffer> {
  for (let start = 0; start < body.length; start += 65_536) yield body.subarray(start, start + 65_536);
}

/** Everything that comes, as text, leaving the writing side alone (which reading by iteration would end). */
export async function textOf(stream: Duplex): Promise<string> {
  const pieces: Buffer[] = [];
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  await once(stream, "end", { signal: AbortSignal.timeout(deadline_ms) });
  return Buffer.concat(pieces).toString();
}

/** Waits until `fact` holds; fails after the deadline. */
export async function until(fact: () => boolean, what: string, within_ms = deadline_ms): Promise<void> {
  const end = Date.now() + within_ms;
  while (!fact()) {
    if (Date.now() > end) throw new Error(`not within ${within_ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What the server says in its last frame. */
export async function lastWords(session: http2.ClientHttp2Session): Promise<string> {
  const [, , data] = (await once(session, "goaway", { signal: AbortSignal.timeout(deadline_ms) })) as [
    number,
    number,
    Uint8Array?,
  ];
  return Buffer.from(data ?? []).toString();
}
