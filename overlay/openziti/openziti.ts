import type { Duplex } from "node:stream";
import { OverlayError } from "../errors.ts";
import { limited } from "../limited.ts";
import type { Caller, Listener, Overlay } from "../overlay.ts";
import type { SessionKind } from "./api-session.ts";
import type { HostingOptions } from "./bind.ts";
import type { ControllerUrls } from "./controller-list.ts";
import type { Credential } from "./credential.ts";
import { dialThrough } from "./dial.ts";
import { host } from "./hosting.ts";
import { createLogins } from "./logins.ts";
import type { Service } from "./service-sessions.ts";
import { defaultSettings, type Settings } from "./settings.ts";
import { loadSodium, type Sodium } from "./sodium.ts";
import { isUnauthorized, twice } from "./waiting.ts";

// A client of OpenZiti's edge, as the port of overlays has it. From here down:
//   openziti.ts          dial, listen, close; what is tried again
//   hosting.ts           keeps one service hosted through several routers
//   logins.ts, login.ts  one login for each certificate; renewing, retiring
//   open-session.ts      one of the two kinds of sessions: legacy-session.ts, oidc-session.ts; service-sessions.ts: permissions
//   rest.ts              calls to the controller; controller-list.ts which one
//   channels.ts          which router; channel.ts one router's connection; connect-tls.ts beneath it
//   dial.ts, bind.ts     a connection asked for, a service offered; connection.ts the Duplex that comes of both
//   framing.ts, message.ts, protocol.ts   bytes; refusal.ts what routers say no with
//   sodium.ts            end-to-end encryption, by native-sodium.ts or wasm-sodium.ts
//   enroll-one-time.ts   a first certificate, where no authority of ours is known there

/** What is dialed. */
export interface OpenZitiEndpoint {
  readonly service: string;
  /** One among a service's hosts; any where it is not given. */
  readonly identity?: string;
}

/** Where the network is, and who we are in it. */
export interface OpenZitiOptions {
  /** `https://host:port` of the controller, or of each where a network has several. */
  readonly controller: ControllerUrls;
  /** Asked for at each dial, and every minute: it should remember. What it gives anew is logged in with at once. */
  readonly credential: () => Credential | Promise<Credential>;
  /** How services are hosted, by the names they are listened to with; one that is not here has its own name there. */
  readonly hosting?: Readonly<Record<string, HostingOptions>>;
  /** The kind of session; the one that fits the controller where it is not given. */
  readonly sessions?: SessionKind;
  /** What encrypts end to end; the fastest that this machine runs where it is not given. */
  readonly sodium?: () => Promise<Sodium>;
  readonly settings?: Partial<Settings>;
}

/** An overlay that can also say what it may reach. */
export interface OpenZitiOverlay extends Overlay<OpenZitiEndpoint> {
  /** All services that this identity may see. Rejects with an `OverlayError`. */
  services(options?: { readonly signal?: AbortSignal }): Promise<Service[]>;
}

/** The adapter over an OpenZiti network. Nothing is opened before the first use. */
export function createOpenZitiOverlay(options: OpenZitiOptions): OpenZitiOverlay {
  const settings: Settings = { ...defaultSettings, ...options.settings };
  const openSodium = options.sodium ?? loadSodium;
  const closing = new AbortController();
  const logins = createLogins({ ...options, sessions: options.sessions, settings });
  const listeners = new Set<Listener<OpenZitiEndpoint>>();
  let accepted = 0;

  return {
    dial: (endpoint, { signal } = {}) =>
      limitedTo(`dialing service ${endpoint.service}`, signal, (until) =>
        twice((attempt) => dialNearest(endpoint, attempt), settings.backOff_ms, until),
      ),

    async listen(name, onConnection) {
      const hosting = options.hosting?.[name] ?? {};
      const sodium = await openSodium();
      const hasRoom = () => accepted < settings.maxConnections;
      const accept = (connection: Duplex, from: Caller) => {
        accepted++;
        connection.once("close", () => accepted--);
        onConnection(connection, from);
      };
      const parts = { name, options: hosting, logins, sodium, settings, hasRoom, onConnection: accept };
      const hosted = await limitedTo(`hosting service ${name}`, undefined, (until) => host(parts, until));
      if (closing.signal.aborted) {
        hosted.close();
        throw new OverlayError("cancelled", `hosting service ${name} was given up`);
      }
      const listener = {
        address: {
          service: hosting.service ?? name,
          ...(hosting.identity !== undefined && { identity: hosting.identity }),
        },
        async close() {
          listeners.delete(listener);
          hosted.close();
        },
      };
      listeners.add(listener);
      return listener;
    },

    services: ({ signal } = {}) =>
      limitedTo("listing services", signal, async (until) => (await logins.current(until)).services(until)),

    async close() {
      closing.abort();
      await Promise.all([...listeners].map((listener) => listener.close()));
      await logins.close();
    },
  };

  async function dialNearest({ service: name, identity }: OpenZitiEndpoint, until: AbortSignal): Promise<Duplex> {
    const sodium = await openSodium();
    const login = await logins.current(until);
    const wanted = { name, type: "Dial" } as const;
    try {
      const service = await login.permission(wanted, until);
      const channel = await login.channels.nearest(service.routers, until);
      const { label, maxReceive_bytes } = settings;
      return await dialThrough(channel, { service, identity, caller: label.name, sodium, maxReceive_bytes }, until);
    } catch (error) {
      login.forget(wanted);
      if (isUnauthorized(error)) await login.doubt(until);
      throw error;
    }
  }

  function limitedTo<T>(
    what: string,
    signal: AbortSignal | undefined,
    act: (until: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const given = signal === undefined ? [closing.signal] : [closing.signal, signal];
    return limited({ what, timeout_ms: settings.connectTimeout_ms, given, otherwise: "broken" }, act);
  }
}
