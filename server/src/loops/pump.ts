/** Work that is begun as long as there is some, a few pieces of it under way at once. */
export interface Pump {
  /** There may be work. What becomes work in one turn of the event loop is seen together. */
  signal(): void;
  /** Waits for what is under way; nothing more is begun. */
  stop(): Promise<void>;
}

export type PumpOptions = {
  /** Pieces under way at once. */
  limit: number;
  hasWork: () => boolean;
  /** Takes a piece at once, and settles when it is done. */
  work: () => Promise<unknown>;
  onError: (error: unknown) => void;
};

/** A lone piece is begun at once; while `limit` are under way the rest is left to gather, so that batches grow with the load. */
export function createPump({ limit, hasWork, work, onError }: PumpOptions): Pump {
  const underWay = new Set<Promise<void>>();
  let signalled = false;
  let stopped = false;
  const begin = () => {
    const piece = work()
      .catch(onError)
      .then(() => {
        underWay.delete(piece);
        signal();
      });
    underWay.add(piece);
  };
  const signal = () => {
    if (signalled) return;
    signalled = true;
    setImmediate(() => {
      signalled = false;
      while (!stopped && underWay.size < limit && hasWork()) begin();
    });
  };
  return {
    signal,
    async stop() {
      stopped = true;
      await Promise.all(underWay);
    },
  };
}
