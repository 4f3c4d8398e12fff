import { z } from "zod";
import type { ApiSession } from "./api-session.ts";
import type { ClientLabel } from "./credential.ts";
import { clientApi, currentSession, readData, tokenText, type Controller } from "./rest.ts";

const sessionData = z.object({ token: tokenText, expirationSeconds: z.number().positive().optional() });
const refreshed = z.object({ expirationSeconds: z.number().positive().optional() });

/** What a controller allows a session to be idle, where it does not say. */
const defaultLife_s = 1800;

/** Logs in with a session that the controller keeps. */
export async function openLegacySession(
  controller: Controller,
  label: ClientLabel,
  signal: AbortSignal,
): Promise<ApiSession> {
  const json = { sdkInfo: { type: label.name, version: label.version } };
  const answer = await controller.call({ method: "POST", path: `${clientApi}/authenticate?method=cert`, json }, signal);
  const { token, expirationSeconds } = readData(answer, sessionData, "the login");
  const headers = { "zt-session": token };
  let life_s = expirationSeconds ?? defaultLife_s;

  return {
    kind: "legacy",
    token: () => token,
    headers: () => headers,
    refreshAfter_ms: () => (life_s * 1000) / 2,
    async refresh(refreshSignal) {
      const current = await controller.call({ method: "GET", path: currentSession, headers }, refreshSignal);
      life_s = readData(current, refreshed, "keeping the session").expirationSeconds ?? life_s;
      return false;
    },
    async end(endSignal) {
      await controller.call({ method: "DELETE", path: currentSession, headers }, endSignal);
    },
  };
}
