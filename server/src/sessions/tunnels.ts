/**
 * Where the two ends of a tunnel meet: a caller's stream, and the one that the workload's runner opens for it, over a connection that
 * was dialed for it by the service that the runner hosts, or over one of the runner's own. What passes is pulled by whoever reads it;
 * nothing is kept beside a window towards the runner, and a slow end slows only its own tunnel (I9, I13).
 *
 * A tunnel's id is good once, and for the runner for which it was made: that the runner is who it says follows from its certificate (I5).
 */
import { create } from "@bufbuild/protobuf";
import type { TunnelInput, TunnelOutput, TunnelStart } from "../../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import {
  TunnelResponseSchema,
  type TunnelRequest,
  type TunnelResponse,
} from "../../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { inputWeight_bytes, tunnelWindow_bytes } from "../../../wire/tunnel-bounds.ts";
import { AgynError, type Reason } from "../domain/errors.ts";
import { orAborted, untilAborted } from "./abortable.ts";

/** Tunnels that are open at one time, on one replica. */
export type TunnelLimits = { workload: number; runner: number; organization: number };

/** A runner serves 48 at most, and a connection of a runner carries 64 streams. */
export const defaultTunnelLimits: TunnelLimits = { workload: 32, runner: 48, organization: 256 };

/** What a caller wants of whom. `start` is told to the runner, then `inputs` as they come. */
export type TunnelWish = {
  runnerId: string;
  workloadId: string;
  organizationId: string;
  /** The runner can be dialed by a service of its own. */
  isHosting: boolean;
  start: TunnelStart;
  inputs: AsyncIterable<TunnelInput>;
  /** The caller is gone, or must be. */
  signal: AbortSignal;
};

/** The runner's stream for a tunnel, and whose it is. */
export type TunnelArrival = {
  runnerId: string;
  tunnelId: string;
  requests: AsyncIterable<TunnelRequest>;
  /** The stream has ended. */
  signal: AbortSignal;
};

export interface Tunnels {
  /** Asks the runner for a tunnel and hands on what comes through it, to its end. Throws what ends it early. */
  use(wish: TunnelWish): AsyncIterable<TunnelOutput>;
  /** What a runner hears over the stream that it opened; `STATE` where nobody waits for that. */
  accept(arrival: TunnelArrival): AsyncIterable<TunnelResponse>;
  /** How many are open. */
  readonly size: number;
}

export type TunnelsDeps = {
  /** Dials the runner's service and says the tunnel's id there. Settles when nothing will come that way (any more). */
  dial: (runnerId: string, tunnelId: string, signal: AbortSignal) => Promise<void>;
  /** Tells the runner to open a tunnel to this replica, wherever it is connected. */
  call: (runnerId: string, tunnelId: string) => Promise<void>;
  /** A tunnel through which nothing moves for so long ends. */
  idle_ms: number;
  openTimeout_ms?: number;
  limits?: TunnelLimits;
};

type Waiting = {
  runnerId: string;
  arrive: (arrival: TunnelArrival) => void;
  responses: () => AsyncIterable<TunnelResponse>;
};

const usualOpenTimeout_ms = 10_000;
/** Of the idle time, how often it is looked whether it is over. */
const idleLooks = 10;

/** Joins callers with the streams that runners open for them; none are open. */
export function createTunnels(deps: TunnelsDeps): Tunnels {
  const waiting = new Map<string, Waiting>();
  const places = createPlaces(deps.limits ?? defaultTunnelLimits);

  /** Resolves when the runner's stream is there. Where nothing came by its service for half of the time, the runner is called. */
  async function meet(wish: TunnelWish, tunnelId: string, responses: Waiting["responses"]): Promise<TunnelArrival> {
    const { runnerId, isHosting } = wish;
    const { promise, resolve } = Promise.withResolvers<TunnelArrival>();
    const timeout_ms = deps.openTimeout_ms ?? usualOpenTimeout_ms;
    const late = new AbortController();
    const why = `the runner did not open the tunnel within ${timeout_ms} ms; where several replicas share one runner_address, each needs its own tunnel_address`;
    const timer = setTimeout(() => late.abort(new AgynError("UNAVAILABLE", why)), timeout_ms);
    const signal = AbortSignal.any([wish.signal, late.signal]);
    waiting.set(tunnelId, { runnerId, arrive: resolve, responses });
    try {
      if (isHosting) {
        const dialing = AbortSignal.any([signal, AbortSignal.timeout(timeout_ms / 2)]);
        const shut = orAborted(deps.dial(runnerId, tunnelId, dialing), dialing).then(nothing, nothing);
        const arrival = await orAborted(Promise.race([promise, shut]), signal);
        if (arrival !== undefined) return arrival;
      }
      await deps.call(runnerId, tunnelId);
      return await orAborted(promise, signal);
    } finally {
      clearTimeout(timer);
      waiting.delete(tunnelId);
    }
  }

  async function* use(wish: TunnelWish): AsyncGenerator<TunnelOutput> {
    const over = new AbortController();
    const signal = AbortSignal.any([wish.signal, over.signal]);
    const movement = watchIdleness(deps.idle_ms, (error) => over.abort(error));
    const window = createWindow();
    const leave = places.take(wish);
    // Also where its caller reads nothing, and so never comes to its end.
    signal.addEventListener("abort", leave, { once: true });
    try {
      const responses = () => responsesTo(wish, { signal, window, moved: movement.moved, fail: (e) => over.abort(e) });
      const arrival = await meet(wish, createId("tunnel"), responses);
      const cut = new AbortController();
      const onCut = () => cut.abort(broken());
      arrival.signal.addEventListener("abort", onCut, { once: true });
      if (arrival.signal.aborted) onCut();
      yield* outputsOf(arrival.requests, { signal: AbortSignal.any([signal, cut.signal]), window, movement });
    } finally {
      leave();
      movement.stop();
      over.abort(new AgynError("CANCELLED", "the tunnel is closed"));
    }
  }

  return {
    use,
    accept({ runnerId, tunnelId, ...arrival }) {
      const found = waiting.get(tunnelId);
      if (found?.runnerId !== runnerId)
        throw new AgynError("STATE", `nobody waits here for the tunnel ${tunnelId} of this runner`);
      waiting.delete(tunnelId);
      found.arrive({ runnerId, tunnelId, ...arrival });
      return found.responses();
    },
    get size() {
      return places.size;
    },
  };
}

type Ends = {
  signal: AbortSignal;
  window: Window;
  moved: () => void;
  fail: (error: unknown) => void;
};

/** What the runner is to hear: what is wanted, then what the caller sends, then nothing until the tunnel is over. */
async function* responsesTo({ start, inputs }: TunnelWish, { signal, window, moved, fail }: Ends) {
  const said = (kind: TunnelResponse["kind"]) => create(TunnelResponseSchema, { kind });
  try {
    yield said({ case: "start", value: start });
    for await (const input of untilAborted(inputs, signal)) {
      await window.take(inputWeight_bytes(input), signal);
      moved();
      yield said({ case: "input", value: input });
    }
    await orAborted(new Promise(() => undefined), signal);
  } catch (error) {
    // The caller's stream broke, or sent what it must not: its own end hears of it.
    if (!signal.aborted) fail(error);
  }
}

async function* outputsOf(
  requests: AsyncIterable<TunnelRequest>,
  { signal, window, movement }: { signal: AbortSignal; window: Window; movement: { moved: () => void } },
): AsyncGenerator<TunnelOutput> {
  try {
    for await (const { kind } of untilAborted(requests, signal)) {
      movement.moved();
      if (kind.case === "taken") window.give(kind.value);
      if (kind.case === "refused") throw new AgynError(kind.value.reason as Reason, kind.value.message);
      if (kind.case !== "output") continue;
      yield kind.value;
      if (kind.value.kind.case === "result") return;
    }
  } catch (error) {
    if (signal.aborted || error instanceof AgynError) throw error;
    throw broken();
  }
  throw broken();
}

const nothing = () => undefined;

function broken(): AgynError {
  return new AgynError("UNAVAILABLE", "the link to the workload's runner broke");
}

type Window = ReturnType<typeof createWindow>;

/** How much may be sent that the runner has not said to have taken. */
function createWindow() {
  let left_bytes = tunnelWindow_bytes;
  let wake: () => void = () => undefined;
  return {
    /** Waits until there is room. */
    async take(bytes: number, signal: AbortSignal): Promise<void> {
      while (left_bytes < bytes) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await orAborted(promise, signal);
      }
      left_bytes -= bytes;
    },
    give(bytes: number): void {
      left_bytes = Math.min(tunnelWindow_bytes, left_bytes + bytes);
      wake();
    },
  };
}

/** Ends what nothing moves through. */
function watchIdleness(idle_ms: number, end: (error: AgynError) => void) {
  let moved_ms = performance.now();
  const timer = setInterval(
    () => {
      if (performance.now() - moved_ms >= idle_ms)
        end(new AgynError("LIMIT", `nothing moved through the tunnel for ${idle_ms} ms (tunnel_idle)`));
    },
    Math.ceil(idle_ms / idleLooks),
  );
  return { moved: () => void (moved_ms = performance.now()), stop: () => clearInterval(timer) };
}

/** Counts what is open of each workload, runner and organization. */
function createPlaces(limits: TunnelLimits) {
  const counts = new Map<string, number>();
  let size = 0;
  const add = (id: string, amount: number) => {
    const count = (counts.get(id) ?? 0) + amount;
    if (count === 0) counts.delete(id);
    else counts.set(id, count);
  };
  return {
    get size() {
      return size;
    },
    /** Answers what gives the place back, once; throws `LIMIT` where there is none. */
    take({ workloadId, runnerId, organizationId }: TunnelWish): () => void {
      const ids = { workload: workloadId, runner: runnerId, organization: organizationId };
      for (const kind of ["workload", "runner", "organization"] as const) {
        if ((counts.get(ids[kind]) ?? 0) < limits[kind]) continue;
        const where = kind === "organization" ? "of this organization" : `into this ${kind}`;
        throw new AgynError("LIMIT", `${limits[kind]} tunnels ${where} are open already`);
      }
      const all = Object.values(ids);
      for (const id of all) add(id, 1);
      size += 1;
      let isTaken = true;
      return () => {
        if (!isTaken) return;
        isTaken = false;
        for (const id of all) add(id, -1);
        size -= 1;
      };
    },
  };
}
