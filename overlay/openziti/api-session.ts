import { z } from "zod";
import type { ClientLabel } from "./credential.ts";
import { openLegacySession } from "./legacy-session.ts";
import { openOidcSession } from "./oidc-session.ts";
import { readData, type Controller } from "./rest.ts";

/** Below this path lies the API for clients. */
export const clientApi = "/edge/client/v1";

/** How a client is logged in: by a session that the controller keeps, or by tokens that it signed. */
export type SessionKind = "legacy" | "oidc";

/** What was got by showing a certificate. */
export interface ApiSession {
  readonly kind: SessionKind;
  /** What routers are shown. */
  token(): string;
  /** What calls of the client API carry. */
  headers(): Record<string, string>;
  /** From now until it should be refreshed, in ms. */
  refreshAfter_ms(): number;
  /** Keeps it alive: `true` where the token is now another. Rejects as "unauthorized" where it is over. */
  refresh(signal: AbortSignal): Promise<boolean>;
  /** Logs out, where that means something. */
  end(signal: AbortSignal): Promise<void>;
}

const versionData = z.object({ version: z.string(), capabilities: z.array(z.string()).optional() });

/**
 * Logs in by certificate, with the kind of session asked for, or else the one that fits the controller. Rejects with an
 * `OverlayError`, or with the reason of `signal`.
 */
export async function openApiSession(
  controller: Controller,
  options: { readonly label: ClientLabel; readonly kind: SessionKind | undefined },
  signal: AbortSignal,
): Promise<ApiSession> {
  const kind = options.kind ?? (await fittingKind(controller, signal));
  return kind === "oidc" ? openOidcSession(controller, signal) : openLegacySession(controller, options.label, signal);
}

/** Before 2.0 a router does not cut an OIDC session's connections when its identity is disabled; a legacy one's it does. */
async function fittingKind(controller: Controller, signal: AbortSignal): Promise<SessionKind> {
  const answer = await controller.call({ method: "GET", path: `${clientApi}/version` }, signal);
  const { version, capabilities } = readData(answer, versionData, "the controller's version");
  const major = Number(/^v?(\d+)\./.exec(version)?.[1] ?? 0);
  return major >= 2 && capabilities?.includes("OIDC_AUTH") === true ? "oidc" : "legacy";
}
