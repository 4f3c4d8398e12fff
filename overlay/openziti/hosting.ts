import type { Duplex } from "node:stream";
import type { Caller } from "../overlay.ts";
import { bindThrough, createListenerId, type Binding, type BindRequest, type HostingOptions } from "./bind.ts";
import type { Channel } from "./channel.ts";
import type { Login } from "./login.ts";
import type { Logins } from "./logins.ts";
import type { ServiceSession } from "./service-sessions.ts";
import type { Settings } from "./settings.ts";
import type { Sodium } from "./sodium.ts";
import { backOff_ms, isUnauthorized, pause, twice } from "./waiting.ts";

/** What is hosted. */
export interface Hosting {
  readonly name: string;
  readonly options: HostingOptions;
  readonly logins: Logins;
  readonly sodium: Sodium;
  readonly settings: Settings;
  readonly hasRoom: () => boolean;
  readonly onConnection: (connection: Duplex, from: Caller) => void;
}

/** Fewer routers than there could be are looked after so often, in units of the back-off. */
const completeAfter_units = 30;

/**
 * Hosts a service through the nearest routers, and binds again, with jitter, whenever one is lost or another login takes
 * over. Resolves when the first router hosts it; rejects with an `OverlayError`, or with the reason of `signal`, where
 * none did. After that only `close` ends it.
 */
export async function host(hosting: Hosting, signal: AbortSignal): Promise<{ close(): void }> {
  const closing = new AbortController();
  const listenerId = createListenerId();
  const wanted = { name: hosting.options.service ?? hosting.name, type: "Bind" } as const;
  const { backOff_ms: unit_ms, connectTimeout_ms, maxBindings } = hosting.settings;
  let bindings: Binding[] = [];
  let lossSeen = new AbortController();

  void keepHosting(await twice(bind, unit_ms, AbortSignal.any([signal, closing.signal])));
  return {
    close() {
      closing.abort();
      for (const binding of bindings.splice(0)) binding.close();
    },
  };

  async function keepHosting(first: Login): Promise<void> {
    for (let failures = 0, login = first; !closing.signal.aborted;) {
      const needed = AbortSignal.any([closing.signal, login.over, lossSeen.signal]);
      if (failures === 0) await pause(completeAfter_units * unit_ms, needed);
      await pause(backOff_ms(Math.max(1, failures), unit_ms), closing.signal);
      lossSeen = new AbortController();
      try {
        login = await bind(AbortSignal.any([closing.signal, AbortSignal.timeout(connectTimeout_ms)]));
        failures = 0;
      } catch {
        failures++;
      }
    }
  }

  /** Binds through routers that do not host it yet. Bindings of an older login go once there is one of the new. */
  async function bind(until: AbortSignal): Promise<Login> {
    const login = await hosting.logins.current(until);
    try {
      const service = await login.permission(wanted, until);
      const channels = await login.channels.all(service.routers, until);
      await bindThroughAll(channels, service, until);
      return login;
    } catch (error) {
      login.forget(wanted);
      if (isUnauthorized(error)) await login.doubt(until);
      throw error;
    }
  }

  async function bindThroughAll(channels: readonly Channel[], service: ServiceSession, until: AbortSignal) {
    const kept = bindings.filter(({ channel }) => channels.includes(channel));
    const free = channels.filter((channel) => !kept.some((binding) => binding.channel === channel));
    const missing = free.slice(0, Math.max(0, maxBindings - kept.length));
    const request: BindRequest = { ...hosting, ...hosting.settings, hosting: hosting.options, service, listenerId };
    const settled = await Promise.allSettled(missing.map((channel) => bindThrough(channel, request, until)));
    const made = settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    if (closing.signal.aborted) return made.forEach((binding) => binding.close());

    // Of those that were kept, one may have been lost meanwhile.
    const live = kept.filter((binding) => bindings.includes(binding));
    const [failed] = settled.filter((result) => result.status === "rejected");
    if (failed !== undefined && live.length + made.length === 0) throw failed.reason;
    for (const binding of bindings) if (!live.includes(binding)) binding.close();
    bindings = [...live, ...made];
    for (const binding of made) void binding.lost.then(() => lose(binding));
  }

  function lose(binding: Binding): void {
    if (!bindings.includes(binding)) return;
    bindings = bindings.filter((other) => other !== binding);
    lossSeen.abort();
  }
}
