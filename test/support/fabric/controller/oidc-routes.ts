import { createHash, randomBytes } from "node:crypto";
import { callerOfJwt, openOidcSession, signAccessToken, signRefreshToken } from "./api-sessions.ts";
import { ApiError, formOf, invalidField, type Answer, type Call, type Route } from "./http.ts";
import { loginByCertificate, loginByPassword, type Login } from "./logins.ts";
import type { ApiSession } from "../model.ts";
import type { ControllerState } from "../state.ts";

/** A login on its way from `authorize` to `token`. */
interface Flow {
  readonly redirect: string;
  readonly state: string;
  readonly challenge: string;
  login?: Login;
  code?: string;
}

const redirects = /^http:\/\/(localhost|127\.0\.0\.1):(8080|20314)\/auth\/callback$/;
const authorizeQuery = [
  "client_id",
  "response_type",
  "scope",
  "state",
  "code_challenge",
  "code_challenge_method",
  "redirect_uri",
  "nonce",
];
const maxFlows = 10_000;

/** OIDC as an edge client uses it: authorization code with PKCE, and refreshing. */
export function oidcRoutes(state: ControllerState): Route[] {
  const flows = new Map<string, Flow>();
  const spent = new Set<string>();

  function authorize({ query }: Call): Answer {
    const expected = { client_id: "openziti", response_type: "code", code_challenge_method: "S256" };
    for (const [key, value] of Object.entries(expected)) {
      if (query.get(key) !== value) throw invalidField(key, `must be ${value}`, query.get(key));
    }
    const scopes = query.get("scope")?.split(" ") ?? [];
    if (!scopes.includes("openid") || !scopes.includes("offline_access")) {
      throw invalidField("scope", "must ask for openid offline_access", query.get("scope"));
    }
    const redirect = matching(query, "redirect_uri", redirects);
    const challenge = matching(query, "code_challenge", /^[\w-]{43}$/);
    const flowState = matching(query, "state", /^.{8,}$/);
    if (flows.size >= maxFlows) flows.clear();
    const id = randomBytes(12).toString("hex");
    flows.set(id, { redirect, state: flowState, challenge });
    return found(`/oidc/login/cert?authRequestID=${id}`);
  }

  function loggedIn(id: string, login: Login): Answer {
    flowOf(id).login = login;
    return found(`/oidc/authorize/callback?id=${id}`);
  }

  function callback({ query }: Call): Answer {
    const flow = flowOf(query.get("id") ?? "");
    if (flow.login === undefined) throw invalidField("id", "nobody has logged in", query.get("id"));
    flow.code = randomBytes(16).toString("base64url");
    return found(`${flow.redirect}?${new URLSearchParams({ code: flow.code, state: flow.state }).toString()}`);
  }

  function token(call: Call): Answer {
    const form = new URLSearchParams(call.body.toString());
    return form.get("grant_type") === "refresh_token" ? refresh(call) : exchange(call);
  }

  function exchange(call: Call): Answer {
    const form = formOf(call, ["grant_type", "code", "redirect_uri", "client_id", "code_verifier"]);
    if (form.grant_type !== "authorization_code") throw invalidField("grant_type", "is unknown", form.grant_type);
    if (form.client_id !== "openziti") throw invalidField("client_id", "must be openziti", form.client_id);
    const [id, flow] = [...flows].find(([, { code }]) => code === form.code) ?? [];
    if (id === undefined || flow?.login === undefined) throw invalidGrant("the code is unknown or was used");
    flows.delete(id);
    const challenge = createHash("sha256").update(form.code_verifier).digest("base64url");
    if (challenge !== flow.challenge) throw invalidField("code_verifier", "does not answer the challenge", "");
    if (form.redirect_uri !== flow.redirect) throw invalidField("redirect_uri", "differs", form.redirect_uri);
    return tokens(openOidcSession(state, flow.login));
  }

  function refresh(call: Call): Answer {
    const form = formOf(call, ["grant_type", "refresh_token", "client_id"], ["scope"]);
    if (form.client_id !== "openziti") throw invalidField("client_id", "must be openziti", form.client_id);
    const caller = callerOfJwt(state, form.refresh_token, "r");
    if (caller === undefined || spent.has(form.refresh_token)) throw invalidGrant("the refresh token does not count");
    spent.add(form.refresh_token);
    return tokens(caller.session);
  }

  function tokens(session: ApiSession): Answer {
    const body = JSON.stringify({
      access_token: signAccessToken(state, session),
      refresh_token: signRefreshToken(state, session),
      id_token: signAccessToken(state, session),
      token_type: "Bearer",
      expires_in: Math.floor(state.lives.accessToken_ms / 1000),
    });
    return { status: 200, raw: { type: "application/json", body } };
  }

  function flowOf(id: string): Flow {
    const flow = flows.get(id);
    if (flow === undefined) throw invalidField("id", "there is no such authentication request", id);
    return flow;
  }

  function passwordLogin(call: Call): Answer {
    const { id, ...credentials } = formOf(call, ["id", "username", "password"]);
    return loggedIn(id, loginByPassword(state, credentials, call.peer));
  }

  return [
    ["GET /oidc/authorize", authorize, authorizeQuery],
    ["POST /oidc/login/cert", (call) => loggedIn(formOf(call, ["id"]).id, loginByCertificate(state, call))],
    ["POST /oidc/login/password", passwordLogin],
    ["GET /oidc/authorize/callback", callback, ["id"]],
    ["POST /oidc/oauth/token", token],
  ];
}

function found(location: string): Answer {
  return { status: 302, headers: { location }, raw: { type: "text/plain", body: "" } };
}

function matching(query: URLSearchParams, key: string, pattern: RegExp): string {
  const value = query.get(key) ?? "";
  if (!pattern.test(value)) throw invalidField(key, `must match ${pattern.source}`, value);
  return value;
}

function invalidGrant(message: string): ApiError {
  return new ApiError(400, "invalid_grant", message);
}
