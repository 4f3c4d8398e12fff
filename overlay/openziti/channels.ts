import { OverlayError, messageOf } from "../errors.ts";
import { openChannel, type Channel, type ChannelOptions } from "./channel.ts";
import type { Router } from "./credential.ts";
import { abortable, backOff_ms, pause } from "./waiting.ts";

/** The channels of one login, at most one to each router, opened when they are asked for. */
export interface Channels {
  /** Whether nothing goes through any of them. */
  readonly isIdle: boolean;
  /** The nearest router with an open channel, or the first that opens. Rejects with why none does. */
  nearest(routers: readonly Router[], signal: AbortSignal): Promise<Channel>;
  /** All that open soon after the first of them, nearest first; at least one. Rejects with why none opens. */
  all(routers: readonly Router[], signal: AbortSignal): Promise<Channel[]>;
  /** Shows a newer token to all routers; one that does not take it loses its channel. */
  updateToken(token: string): Promise<void>;
  /** Opens no more, and closes each channel as soon as nothing goes through. Resolves when all are closed. */
  retire(): Promise<void>;
}

/** What channels are opened with. */
export interface ChannelsOptions extends Omit<ChannelOptions, "router" | "token"> {
  readonly token: () => string;
  readonly connectTimeout_ms: number;
  /** The first back-off from a router that could not be reached; doubled with each failure. */
  readonly backOff_ms: number;
  /** Called when an open channel is lost. */
  readonly onLost: () => void;
}

interface Slot {
  opening?: Promise<Channel> | undefined;
  channel?: Channel | undefined;
  failures: number;
  /** Before then it is asked only where no other router is left. */
  restUntil_ms: number;
}

/** How long routers are waited for when another one is there already. */
const latecomers_ms = 1000;

/** What says most of several failures comes first. */
const tellingReasons = ["unauthorized", "peer_untrusted", "exhausted", "broken", "timeout", "unreachable"];

/** Channels, of which none is open yet. */
export function createChannels(options: ChannelsOptions): Channels {
  const slots = new Map<string, Slot>();
  const retiring = new AbortController();

  return {
    get isIdle() {
      return channelsOpen().every(({ isIdle }) => isIdle);
    },

    async nearest(routers, signal) {
      const missing = routers.filter((router) => liveTo(router) === undefined);
      const awake = missing.filter((router) => slotOf(router).restUntil_ms <= performance.now());
      const live = byLatency(routers.flatMap((router) => liveTo(router) ?? []));
      const openings = (live.length === 0 && awake.length === 0 ? missing : awake).map(open);
      for (const opening of openings) opening.catch(() => {});
      return live[0] ?? (await abortable(Promise.any(openings), signal).catch(rethrow));
    },

    async all(routers, signal) {
      const openings = routers.map(open);
      const everyone = Promise.allSettled(openings);
      const enough = Promise.any(openings).then(
        () => pause(latecomers_ms, signal),
        () => {},
      );
      await abortable(Promise.race([everyone, enough]), signal);
      const opened = routers.flatMap((router) => liveTo(router) ?? []);
      if (opened.length > 0) return byLatency(opened);
      const settled = await abortable(everyone, signal);
      throw mostTelling(settled.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : [])));
    },

    async updateToken(token) {
      const signal = AbortSignal.timeout(options.connectTimeout_ms);
      const updates = channelsOpen().map(async (channel) => {
        const taken = await channel.updateToken(token, signal).catch(() => false);
        if (!taken)
          channel.destroy(new OverlayError("unauthorized", `router ${channel.router.name} refused a newer token`));
      });
      await Promise.all(updates);
    },

    async retire() {
      retiring.abort();
      await Promise.allSettled([...slots.values()].flatMap(({ opening }) => opening ?? []));
      const last = channelsOpen();
      for (const channel of last) channel.retire();
      await Promise.all(last.map((channel) => channel.closed));
    },
  };

  function slotOf(router: Router): Slot {
    const key = `${router.host}:${router.port}`;
    const slot = slots.get(key) ?? { failures: 0, restUntil_ms: 0 };
    slots.set(key, slot);
    return slot;
  }

  function liveTo(router: Router): Channel | undefined {
    const { channel } = slotOf(router);
    return channel?.isOpen === true ? channel : undefined;
  }

  function channelsOpen(): Channel[] {
    return [...slots.values()].flatMap(({ channel }) => (channel?.isOpen === true ? [channel] : []));
  }

  function open(router: Router): Promise<Channel> {
    const slot = slotOf(router);
    const live = liveTo(router);
    if (live !== undefined) return Promise.resolve(live);
    slot.opening ??= connect(router, slot).finally(() => (slot.opening = undefined));
    return slot.opening;
  }

  async function connect(router: Router, slot: Slot): Promise<Channel> {
    const timeout = AbortSignal.timeout(options.connectTimeout_ms);
    try {
      const signal = AbortSignal.any([retiring.signal, timeout]);
      const channel = await openChannel({ ...options, router, token: options.token() }, signal);
      slot.channel = channel;
      slot.failures = 0;
      void channel.closed.then(() => {
        rest(slot);
        options.onLost();
      });
      return channel;
    } catch (error) {
      rest(slot);
      throw asFailure(error, router, timeout);
    }
  }

  function rest(slot: Slot): void {
    slot.channel = undefined;
    slot.failures++;
    slot.restUntil_ms = performance.now() + backOff_ms(slot.failures, options.backOff_ms);
  }

  function asFailure(error: unknown, { name }: Router, timeout: AbortSignal): OverlayError {
    if (error instanceof OverlayError) return error;
    if (timeout.aborted)
      return new OverlayError("timeout", `router ${name} did not answer within ${options.connectTimeout_ms} ms`);
    return new OverlayError("cancelled", `connecting to router ${name} was given up: ${messageOf(error)}`);
  }
}

function byLatency(channels: readonly Channel[]): Channel[] {
  return channels.toSorted((one, other) => one.latency_ms - other.latency_ms);
}

function rethrow(error: unknown): never {
  throw error instanceof AggregateError ? mostTelling(error.errors) : error;
}

function mostTelling(errors: readonly unknown[]): unknown {
  const rank = (error: unknown) => {
    const place = error instanceof OverlayError ? tellingReasons.indexOf(error.reason) : -1;
    return place === -1 ? tellingReasons.length : place;
  };
  return errors.toSorted((one, other) => rank(one) - rank(other))[0];
}
