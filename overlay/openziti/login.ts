import type { ApiSession } from "./api-session.ts";
import { createChannels, type Channels } from "./channels.ts";
import type { Credential } from "./credential.ts";
import { currentSession, type Controller } from "./rest.ts";
import { listServices, openServiceSession, type Service, type ServiceSession } from "./service-sessions.ts";
import type { Settings } from "./settings.ts";
import { abortable, backOff_ms, isUnauthorized, pause } from "./waiting.ts";

/** One login of one credential: its API session, what it may dial and host, and its channels. */
export interface Login {
  readonly credential: Credential;
  readonly channels: Channels;
  /** Aborted when another login takes its place, or the controller knows this one no more: take the next one. */
  readonly over: AbortSignal;
  services(signal: AbortSignal): Promise<Service[]>;
  /** The permission to dial or host a service; kept for a while. */
  permission(wanted: Wanted, signal: AbortSignal): Promise<ServiceSession>;
  /** Asks for a permission anew next time. */
  forget(wanted: Wanted): void;
  /** After a refusal: asks the controller whether it still knows this login, which is over where it does not. */
  doubt(signal: AbortSignal): Promise<void>;
  /** Is used for nothing new; what goes through it goes on. Resolves when nothing does, and it has logged out. */
  retire(): Promise<void>;
}

export interface Wanted {
  readonly name: string;
  readonly type: "Dial" | "Bind";
}

/** What a login is made of. */
export interface LoginParts {
  readonly credential: Credential;
  readonly controller: Controller;
  readonly session: ApiSession;
  readonly settings: Settings;
  /** Called when the controller refuses the session. */
  readonly onRefused: () => void;
}

/** A permission is asked for anew after so long, so that new routers are found. */
const permissionLife_ms = 600_000;
/** Permissions that are kept; of more, the oldest is asked for anew. */
const maximumPermissions = 1000;
/** Sessions are refreshed no more often than this, however soon the controller says that they end. */
const leastRefresh_ms = 1000;
/** How long logging out may take. */
const logoutTimeout_ms = 2000;

/** A login that keeps itself alive until it is retired and nothing goes through it any more. */
export function createLogin({ credential, controller, session, settings, onRefused }: LoginParts): Login {
  const permissions = new Map<string, { promise: Promise<ServiceSession>; until_ms: number }>();
  const over = new AbortController();
  const gone = new AbortController();
  // What ended a channel may have ended the permissions, too; asking anew is quicker than being refused by a router.
  const onLost = () => permissions.clear();
  const channels = createChannels({ ...settings, credential, token: session.token, onLost });
  let retired: Promise<void> | undefined;
  void keepAlive();

  return {
    credential,
    channels,
    over: over.signal,
    services: (signal) => listServices(controller, session, signal),
    permission(wanted, signal) {
      const known = permissions.get(keyOf(wanted));
      if (known !== undefined && known.until_ms > performance.now()) return abortable(known.promise, signal);

      const timeout = AbortSignal.any([gone.signal, AbortSignal.timeout(settings.connectTimeout_ms)]);
      const promise = openServiceSession(controller, session, wanted, timeout);
      const [oldest] = permissions.keys();
      if (permissions.size >= maximumPermissions && oldest !== undefined) permissions.delete(oldest);
      permissions.set(keyOf(wanted), { promise, until_ms: performance.now() + permissionLife_ms });
      promise.catch(() => permissions.delete(keyOf(wanted)));
      return abortable(promise, signal);
    },
    forget: (wanted) => void permissions.delete(keyOf(wanted)),
    async doubt(signal) {
      const call = { method: "GET", path: currentSession, headers: session.headers() } as const;
      const answer = await controller.call(call, signal).catch(() => undefined);
      if (answer?.status === 401) onRefused();
    },
    retire: () => (retired ??= retire()),
  };

  async function retire(): Promise<void> {
    over.abort();
    await channels.retire();
    gone.abort();
    await session.end(AbortSignal.timeout(logoutTimeout_ms)).catch(() => {});
    controller.close();
  }

  async function keepAlive(): Promise<void> {
    for (let failures = 0; !gone.signal.aborted;) {
      const refresh_ms = Math.max(leastRefresh_ms, session.refreshAfter_ms());
      await pause(failures === 0 ? refresh_ms : backOff_ms(failures, settings.backOff_ms), gone.signal);
      if (gone.signal.aborted) return;
      try {
        const renewed = await session.refresh(gone.signal);
        failures = 0;
        if (renewed) await channels.updateToken(session.token());
      } catch (error) {
        if (isUnauthorized(error)) return onRefused();
        failures++;
      }
    }
  }
}

function keyOf({ name, type }: Wanted): string {
  return `${type} ${name}`;
}
