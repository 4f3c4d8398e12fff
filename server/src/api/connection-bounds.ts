import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";

/** How long connections of the user port may keep it waiting (I9). */
export type ConnectionBounds = {
  /** For the headers of an HTTP/1.1 request. */
  header_ms: number;
  /** For the whole of a request, if it is not one that goes on beside its answer; its answer may go on for ever. */
  request_ms: number;
  /** Between two requests. */
  idle_ms: number;
  /** For the answer to a sign of life, of a connection on which something is open. */
  ping_ms: number;
};

/** Of a listener that is not told otherwise. */
export const defaultConnectionBounds: ConnectionBounds = {
  header_ms: 15_000,
  request_ms: 300_000,
  idle_ms: 120_000,
  ping_ms: 30_000,
};

/**
 * Ends an HTTP/2 connection on which nothing is open for too long, or whose other side is gone. A request to a path of `conversations` may
 * go on as long as its answer does, which has bounds of its own. One with an open stream stays as long as
 * it answers, since a watch may have nothing to say for hours.
 */
export function boundSession(
  session: ServerHttp2Session,
  { request_ms, idle_ms, ping_ms }: ConnectionBounds,
  conversations: ReadonlySet<string>,
): void {
  let open = 0;
  const startIdling = () => setTimeout(() => session.close(), idle_ms);
  let idling = startIdling();
  session.on("stream", (stream: ServerHttp2Stream, headers) => {
    open += 1;
    clearTimeout(idling);
    const mayGoOn = conversations.has(headers[":path"] ?? "");
    const isDone = () => stream.readableEnded || (mayGoOn && !stream.writableEnded);
    const late = setTimeout(() => isDone() || stream.close(), request_ms);
    stream.once("close", () => {
      clearTimeout(late);
      open -= 1;
      if (open === 0 && !session.closed) idling = startIdling();
    });
  });
  let isAnswered = true;
  const asking = setInterval(() => {
    if (!isAnswered) session.destroy();
    else if (open > 0) isAnswered = !session.ping(() => (isAnswered = true));
  }, ping_ms);
  session.once("close", () => {
    clearTimeout(idling);
    clearInterval(asking);
  });
}
