import type { Http2Session } from "node:http2";

/** Whether the other end answers a ping in time; one that is gone, or frozen, does not. */
export async function pong(session: Http2Session, timeout_ms: number): Promise<boolean> {
  if (session.closed || session.destroyed) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), timeout_ms);
  session.ping((error) => resolve(error === null));
  return promise.finally(() => clearTimeout(timer));
}
