import { isDisabled } from "../access.ts";
import { notFound, unauthorized, type Call } from "./http.ts";
import { readJwt, signJwt } from "../jwt.ts";
import type { Login } from "./logins.ts";
import { createToken, type ApiSession, type Identity } from "../model.ts";
import type { ControllerState } from "../state.ts";
import { createEntityId } from "../table.ts";

/** Whose session a call or a channel carries. */
export interface Caller {
  readonly session: ApiSession;
  readonly identity: Identity;
  /** When the token ends, where it says so itself. */
  readonly expiresAt: Date | undefined;
}

/** Opens a session of the first kind, for a token in the header `zt-session`. */
export function openLegacySession({ model, now }: ControllerState, login: Login): ApiSession {
  return model.apiSessions.insert({ ...sessionOf(login, now()), kind: "legacy", token: createToken() });
}

/** Opens a session of the second kind; its tokens are signed, not kept. */
export function openOidcSession({ model, now }: ControllerState, login: Login): ApiSession {
  return model.apiSessions.insert({ ...sessionOf(login, now()), kind: "oidc", token: createToken() });
}

/** Signs an access token of an OIDC session. */
export function signAccessToken(state: ControllerState, session: ApiSession): string {
  return signJwt({ ...claimsOf(state, session, state.lives.accessToken_ms), z_t: "a" }, state.identity.keyPem);
}

/** Signs a refresh token of an OIDC session. */
export function signRefreshToken(state: ControllerState, session: ApiSession): string {
  return signJwt({ ...claimsOf(state, session, state.lives.refreshToken_ms), z_t: "r" }, state.identity.keyPem);
}

/** The session of a signed token of kind `z_t`, if it still counts. */
export function callerOfJwt(state: ControllerState, token: string, z_t: "a" | "r"): Caller | undefined {
  const claims = readJwt(token, state.identity.keyPem);
  if (claims === undefined || claims["z_t"] !== z_t || typeof claims["exp"] !== "number") return undefined;
  const expiresAt = new Date(claims["exp"] * 1000);
  if (expiresAt <= state.now() || isRevoked(state, claims)) return undefined;
  const session = state.model.apiSessions.get(String(claims["z_asid"]));
  return session && callerIn(state, session, expiresAt);
}

/** The session of what a client shows at a router: the token of either kind. */
export function callerOfToken(state: ControllerState, token: string): Caller | undefined {
  if (token.split(".").length === 3) return callerOfJwt(state, token, "a");
  const session = state.model.apiSessions.find((one) => one.kind === "legacy" && one.token === token);
  return session && callerIn(state, session, undefined);
}

/** The caller of a call. Throws UNAUTHORIZED; ends a session that was idle too long. */
export function callerOf(state: ControllerState, { headers }: Call): Caller {
  const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? "")?.[1];
  const legacy = headers["zt-session"];
  const token = bearer ?? (typeof legacy === "string" ? legacy : undefined);
  const caller = token === undefined ? undefined : callerOfToken(state, token);
  if (caller === undefined || (caller.session.kind === "oidc") !== (bearer !== undefined)) throw unauthorized();

  const { session } = caller;
  if (session.kind === "legacy" && state.now().getTime() - session.lastActivityAt.getTime() > state.lives.session_ms) {
    state.model.apiSessions.delete(session.id);
    throw unauthorized();
  }
  session.lastActivityAt = state.now();
  return caller;
}

/** The caller of a call, who must be an administrator. */
export function adminOf(state: ControllerState, call: Call): Caller {
  const caller = callerOf(state, call);
  if (!caller.identity.isAdmin) throw unauthorized();
  return caller;
}

/** A session as the API shows it. */
export function apiSessionJson({ lives, model }: ControllerState, { session, identity }: Caller): object {
  const authenticator = model.authenticators.get(session.authenticatorId ?? "");
  const expiresAt = new Date(session.lastActivityAt.getTime() + lives.session_ms);
  return {
    _links: { self: { href: "./current-api-session" } },
    id: session.id,
    createdAt: session.createdAt,
    updatedAt: session.updatedAt,
    tags: session.tags,
    token: session.token,
    identityId: identity.id,
    identity: { id: identity.id, name: identity.name, entity: "identities", _links: {} },
    authenticatorId: session.authenticatorId ?? "",
    isCertExtendable: authenticator?.method === "cert",
    isCertExtendRequested: false,
    isCertKeyRollRequested: false,
    authQueries: [],
    configTypes: [],
    ipAddress: "127.0.0.1",
    isMfaComplete: true,
    isMfaRequired: false,
    lastActivityAt: session.lastActivityAt,
    cachedLastActivityAt: session.lastActivityAt,
    expiresAt,
    expirationSeconds: Math.floor(lives.session_ms / 1000),
  };
}

/** Ends a session that administrators can see: not those of OIDC. */
export function endLegacySession({ model }: ControllerState, id: string): void {
  const session = model.apiSessions.get(id);
  if (session?.kind !== "legacy") throw notFound(`api session ${id}`);
  model.apiSessions.delete(id);
}

function sessionOf({ identity, authenticatorId, fingerprints }: Login, lastActivityAt: Date) {
  return { identityId: identity.id, authenticatorId, fingerprints, lastActivityAt };
}

/** A session goes with its identity, and with the authenticator that it was opened by. */
function callerIn(
  { model, now }: ControllerState,
  session: ApiSession,
  expiresAt: Date | undefined,
): Caller | undefined {
  const identity = model.identities.get(session.identityId);
  if (identity === undefined || isDisabled(identity, now())) return undefined;
  const { authenticatorId } = session;
  if (authenticatorId !== undefined && model.authenticators.get(authenticatorId) === undefined) return undefined;
  return { session, identity, expiresAt };
}

function claimsOf(state: ControllerState, session: ApiSession, life_ms: number) {
  const issued = Math.floor(state.now().getTime() / 1000);
  return {
    iss: `${state.origin()}/oidc`,
    sub: session.identityId,
    aud: ["openziti"],
    iat: issued,
    exp: issued + Math.floor(life_ms / 1000),
    jti: createEntityId(),
    z_asid: session.id,
    z_cfs: session.fingerprints,
  };
}

function isRevoked({ model }: ControllerState, claims: Readonly<Record<string, unknown>>): boolean {
  return model.revocations.all().some(({ type, subject, createdAt }) => {
    switch (type) {
      case "IDENTITY":
        return subject === claims["sub"] && Number(claims["iat"]) * 1000 <= createdAt.getTime();
      case "API_SESSION":
        return subject === claims["z_asid"];
      case "JTI":
        return subject === claims["jti"];
    }
  });
}
