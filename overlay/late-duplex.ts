import { Duplex } from "node:stream";

/**
 * A Duplex at once, where `open` gives one later: writes wait (up to the high-water mark, then with back-pressure) until
 * it is there. Destroying it aborts the opening. What opening throws destroys it.
 */
export function lateDuplex(open: (signal: AbortSignal) => Promise<Duplex>): Duplex {
  const abort = new AbortController();
  let inner: Duplex | undefined;
  const opened = open(abort.signal);

  const outer = new Duplex({
    allowHalfOpen: true,
    construct(callback) {
      opened.then((duplex) => callback(join(duplex)), callback);
    },
    read() {
      inner?.resume();
    },
    write(chunk, _encoding, callback) {
      inner?.write(chunk, callback);
    },
    final(callback) {
      inner?.end(callback);
    },
    destroy(error, callback) {
      abort.abort();
      if (inner !== undefined) inner.destroy();
      else opened.then((duplex) => duplex.destroy(), ignore);
      callback(error);
    },
  });
  return outer;

  function join(duplex: Duplex): null {
    inner = duplex;
    duplex.on("data", (chunk) => {
      if (!outer.push(chunk)) duplex.pause();
    });
    duplex.once("end", () => outer.push(null));
    duplex.once("error", (error) => outer.destroy(error));
    duplex.once("close", () => {
      if (!duplex.readableEnded || !duplex.writableFinished) outer.destroy();
    });
    duplex.pause();
    return null;
  }
}

/** For failures that somebody else has been told of. */
function ignore(): void {}
