import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { OverlayError } from "../errors.ts";
import type { ApiSession } from "./api-session.ts";
import { legible } from "./message.ts";
import { readBody, readFailure, tokenText, type Answer, type Controller } from "./rest.ts";

/** Nothing is there: the controller only knows the address, and the code is read from the redirect to it. */
const redirectUri = "http://localhost:8080/auth/callback";
const clientId = "openziti";
/** Redirects from the login to the code. */
const maxRedirects = 5;

const tokenAnswer = z.object({
  access_token: tokenText,
  refresh_token: z.string().min(1),
  expires_in: z.number().positive(),
});
type Tokens = z.infer<typeof tokenAnswer>;

/** Logs in with tokens that the controller signs: the authorization code flow with PKCE (RFC 7636), by certificate. */
export async function openOidcSession(controller: Controller, signal: AbortSignal): Promise<ApiSession> {
  const verifier = randomBytes(32).toString("base64url");
  const code = await authorize(controller, verifier, signal);
  let tokens = await exchange(
    controller,
    { grant_type: "authorization_code", code, redirect_uri: redirectUri, code_verifier: verifier },
    signal,
  );
  let issuedAt_ms = performance.now();

  return {
    kind: "oidc",
    token: () => tokens.access_token,
    headers: () => ({ authorization: `Bearer ${tokens.access_token}` }),
    refreshAfter_ms: () => Math.max(0, issuedAt_ms + (tokens.expires_in * 1000) / 2 - performance.now()),
    async refresh(refreshSignal) {
      const grant = { grant_type: "refresh_token", refresh_token: tokens.refresh_token };
      tokens = await exchange(controller, grant, refreshSignal);
      issuedAt_ms = performance.now();
      return true;
    },
    // There is no session to end: the tokens end by themselves.
    end: async () => {},
  };
}

async function authorize(controller: Controller, verifier: string, signal: AbortSignal): Promise<string> {
  const state = randomBytes(16).toString("base64url");
  const query = new URLSearchParams({
    client_id: clientId,
    response_type: "code",
    scope: "openid offline_access",
    redirect_uri: redirectUri,
    state,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const begun = redirectOf(
    controller,
    await controller.call({ method: "GET", path: `/oidc/authorize?${query.toString()}` }, signal),
  );
  const id = begun.searchParams.get("authRequestID") ?? begun.searchParams.get("id");
  if (id === null) throw broken("the redirect to the login has no authRequestID");

  const login = { method: "POST", path: "/oidc/login/cert", form: { id } } as const;
  let location = redirectOf(controller, await controller.call(login, signal));
  for (let hop = 0; location.origin === controller.origin; hop++) {
    if (hop === maxRedirects) throw broken(`more than ${maxRedirects} redirects`);
    const path = `${location.pathname}${location.search}`;
    location = redirectOf(controller, await controller.call({ method: "GET", path }, signal));
  }
  return readCode(location, state);
}

function readCode(location: URL, state: string): string {
  if (`${location.origin}${location.pathname}` !== redirectUri) throw broken("it redirects to somewhere else");
  const { searchParams } = location;
  const refused = searchParams.get("error_description") ?? searchParams.get("error");
  if (refused !== null) throw new OverlayError("unauthorized", `the login was refused: ${legible(refused)}`);
  if (searchParams.get("state") !== state) throw broken("it answers to another login (state)");
  const code = searchParams.get("code");
  if (code === null) throw broken("the redirect has no code");
  return code;
}

function redirectOf(controller: Controller, answer: Answer): URL {
  const { location } = answer.headers;
  if (answer.status < 300 || answer.status > 399 || location === undefined) throw readFailure(answer, "the login");
  const url = URL.parse(location, controller.origin);
  if (url === null) throw broken("a redirect leads nowhere");
  return url;
}

async function exchange(controller: Controller, grant: Record<string, string>, signal: AbortSignal): Promise<Tokens> {
  const form = { client_id: clientId, ...grant };
  const answer = await controller.call({ method: "POST", path: "/oidc/oauth/token", form }, signal);
  return readBody(answer, tokenAnswer, "the login's token");
}

function broken(what: string): OverlayError {
  return new OverlayError("broken", `the controller's login is not what it should be: ${what}`);
}
