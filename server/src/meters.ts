import { monitorEventLoopDelay } from "node:perf_hooks";

/** A number, in all and by label value. */
export interface Counter {
  add(amount: number, label?: string): void;
  readonly values: ReadonlyMap<string, number>;
}

/** What the server counts of itself. */
export type Meters = {
  placements: Counter;
  enrollments: Counter;
  logBytes: Counter;
  /** By reason. */
  refusals: Counter;
  /** Streams that are open now, by service and method; all the others only grow. */
  openStreams: Counter;
  /** Measurements of machines that were not kept, by reason. */
  samplesDropped: Counter;
  /** Rows that had been kept for long enough, by kind. */
  swept: Counter;
  /** The 99th percentile of the event loop's delay since the last reading, in seconds. */
  eventLoopLag: () => number;
};

/** All at 0; the event loop is watched from now on. */
export function createMeters(): Meters {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  return {
    placements: createCounter(),
    enrollments: createCounter(),
    logBytes: createCounter(),
    refusals: createCounter(),
    openStreams: createCounter(),
    samplesDropped: createCounter(),
    swept: createCounter(),
    eventLoopLag() {
      const lag = delay.percentile(99) / 1e9;
      delay.reset();
      return lag;
    },
  };
}

function createCounter(): Counter {
  const values = new Map<string, number>();
  return {
    values,
    add(amount, label = "") {
      values.set(label, (values.get(label) ?? 0) + amount);
    },
  };
}
