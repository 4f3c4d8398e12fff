import { Duplex } from "node:stream";

/**
 * A Duplex at once, where `open` gives one later: the first write waits, and with it the writer, until it is there.
 * Destroying it aborts the opening. What opening throws destroys it.
 */
export function lateDuplex(open: (signal: AbortSignal) => Promise<Duplex>): Duplex {
  const abort = new AbortController();
  const waiting: ((inner: Duplex) => void)[] = [];
  let inner: Duplex | undefined;

  const outer = new Duplex({
    allowHalfOpen: true,
    read: () => whenOpen((duplex) => duplex.resume()),
    write: (chunk, _encoding, callback) => whenOpen((duplex) => duplex.write(chunk, callback)),
    final: (callback) => whenOpen((duplex) => duplex.end(callback)),
    destroy(error, callback) {
      abort.abort();
      inner?.destroy();
      callback(error);
    },
  });
  open(abort.signal).then(join, (error: unknown) =>
    outer.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return outer;

  function whenOpen(act: (duplex: Duplex) => void): void {
    if (inner === undefined) waiting.push(act);
    else act(inner);
  }

  function join(duplex: Duplex): void {
    if (outer.destroyed) return void duplex.on("error", () => {}).destroy();

    inner = duplex;
    duplex.on("data", (chunk) => {
      if (!outer.push(chunk)) duplex.pause();
    });
    duplex.once("end", () => outer.push(null));
    duplex.once("error", (error) => outer.destroy(error));
    duplex.once("close", () => {
      if (!duplex.readableEnded || !duplex.writableFinished) outer.destroy();
    });
    for (const act of waiting.splice(0)) act(duplex);
  }
}
