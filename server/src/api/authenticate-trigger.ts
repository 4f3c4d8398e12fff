import type { Caller } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import { parseTriggerToken } from "../identity/access-token.ts";
import type { Sql } from "../store/database.ts";
import { useTriggerToken } from "../store/trigger-tokens.ts";

/** The trigger token behind an `authorization` header; anything but a live one is `UNAUTHENTICATED`. */
export type AuthenticateTrigger = (authorization: string | null) => Promise<Extract<Caller, { kind: "trigger_token" }>>;

/** Looks each token up anew, so that a revoked one starts nothing more, and notes its use. */
export function createTriggerAuthenticator(sql: Sql): AuthenticateTrigger {
  return async (authorization) => {
    const text = /^bearer +(.*)$/i.exec(authorization ?? "")?.[1];
    if (text === undefined) throw refused("a trigger token is needed: send it as `authorization: Bearer agyn_tt_…`");
    const parsed = parseTriggerToken(text);
    if ("error" in parsed) throw refused(parsed.error);
    const token = await useTriggerToken(sql, parsed.hash);
    if (!token) throw refused("the trigger token is not known here, has expired or was revoked");
    const { id, organizationId, projectId, createdBy } = token;
    return { kind: "trigger_token", tokenId: id, organizationId, projectId, createdBy };
  };
}

function refused(message: string): AgynError {
  return new AgynError("UNAUTHENTICATED", message);
}
