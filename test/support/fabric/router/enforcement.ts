import { isDisabled, isGranted } from "../access.ts";
import { closeCircuit } from "./circuits.ts";
import { removeListener } from "./hosting.ts";
import type { ServiceSession } from "../model.ts";
import type { Client, Routing } from "./state.ts";

/** How often tokens that have run out are looked for, in ms. */
const expiryPeriod_ms = 100;
/** Timers may fire a little early. */
const margin_ms = 5;

/** What lets the controller's word reach live connections. */
export interface Enforcement {
  /** Resolves when all that the controller was told until now has reached the routers. */
  settled(): Promise<void>;
  close(): void;
}

/**
 * Lets what the controller is told reach live connections, as each release does it. Legacy sessions are cut by all but
 * revocations. OIDC sessions are cut from 2.0 on; 1.6 leaves what is open, and ends it only when the token runs out.
 */
export function openEnforcement(routing: Routing): Enforcement {
  const { controller, times } = routing;
  const pending = new Map<NodeJS.Timeout, Promise<void>>();
  let isClosed = false;
  let isCutPending = false;
  let revocations = 0;

  const enforceAfter = (delay_ms: number, due?: () => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      pending.delete(timer);
      due?.();
      enforce(routing);
      resolve();
    }, delay_ms);
    pending.set(timer, promise);
  };
  controller.model.onChange(() => {
    if (isClosed) return;
    if (!isCutPending) enforceAfter(times.cut_ms, () => void (isCutPending = false));
    isCutPending = true;
    const now = controller.model.revocations.all().length;
    if (now > revocations) enforceAfter(times.revocation_ms + margin_ms);
    revocations = now;
  });
  const expiry = setInterval(() => closeExpired(routing), expiryPeriod_ms).unref();
  return {
    async settled() {
      while (pending.size > 0) await Promise.all(pending.values());
    },
    close() {
      isClosed = true;
      clearInterval(expiry);
      for (const timer of pending.keys()) clearTimeout(timer);
    },
  };
}

function enforce(routing: Routing): void {
  const cut = [...routing.clients].filter((client) => isCut(routing, client));
  for (const client of cut) client.channel.close();

  for (const circuit of routing.circuits) {
    const client = circuit.dialer?.client;
    const words = client && lostAccess(routing, client, circuit.session);
    if (words !== undefined) closeCircuit(routing, circuit, words);
  }
  for (const listener of routing.listeners.values()) {
    const words = lostAccess(routing, listener.client, listener.session);
    if (words !== undefined) removeListener(routing, listener, words);
  }
}

/** Whether the release reaches into what a client has open. */
function isReached({ controller }: Routing, { caller }: Client): boolean {
  return controller.version !== "1.6.20" || caller?.session.kind === "legacy";
}

function isCut(routing: Routing, client: Client): boolean {
  const { model, now } = routing.controller;
  const { caller } = client;
  if (caller === undefined || !isReached(routing, client)) return false;

  const { session } = caller;
  const identity = model.identities.get(session.identityId);
  if (identity === undefined || isDisabled(identity, now())) return true;
  if (model.apiSessions.get(session.id) === undefined) return true;
  if (session.authenticatorId !== undefined && model.authenticators.get(session.authenticatorId) === undefined)
    return true;
  return session.kind === "oidc" && isRevoked(routing, client);
}

function isRevoked({ controller, times }: Routing, { caller }: Client): boolean {
  const due = controller.now().getTime() - times.revocation_ms;
  return controller.model.revocations.all().some(({ type, subject, createdAt }) => {
    if (createdAt.getTime() > due || caller === undefined) return false;
    const { id, identityId, createdAt: opened } = caller.session;
    return type === "API_SESSION"
      ? subject === id
      : type === "IDENTITY" && subject === identityId && opened <= createdAt;
  });
}

/** In which words a client loses what it has under a service session, if it does. */
function lostAccess(routing: Routing, client: Client, session: ServiceSession): string | undefined {
  const { model } = routing.controller;
  if (!isReached(routing, client)) return undefined;
  const identity = model.identities.get(session.identityId);
  const service = model.services.get(session.serviceId);
  if (identity === undefined || service === undefined || !isGranted(model, session.type, identity, service)) {
    return `${session.type.toLowerCase()} access lost`;
  }
  return model.sessions.get(session.id) === undefined ? "session closed" : undefined;
}

function closeExpired({ clients, controller }: Routing): void {
  const now = controller.now();
  for (const { caller, channel } of clients) {
    if (caller?.expiresAt !== undefined && caller.expiresAt <= now) channel.close();
  }
}
