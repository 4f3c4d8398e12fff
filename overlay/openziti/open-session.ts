import { z } from "zod";
import type { ApiSession, SessionKind } from "./api-session.ts";
import type { ClientLabel } from "./credential.ts";
import { openLegacySession } from "./legacy-session.ts";
import { openOidcSession } from "./oidc-session.ts";
import { clientApi, readData, type Controller } from "./rest.ts";

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
