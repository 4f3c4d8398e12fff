import { createHash, randomBytes } from "node:crypto";
import type { Fabric, FabricIdentity } from "../../support/fabric/fabric.ts";
import { rest } from "./raw-client.ts";

const redirect = "http://localhost:20314/auth/callback";
const form = { "content-type": "application/x-www-form-urlencoded" };

export interface OidcTokens {
  readonly access: string;
  readonly refresh: string;
}

/** Logs in by certificate; the OIDC way, step by step. `tamper` changes the last form. */
export async function oidcLogin(
  fabric: Fabric,
  who: FabricIdentity,
  tamper: Readonly<Record<string, string>> = {},
): Promise<OidcTokens> {
  const verifier = randomBytes(32).toString("base64url");
  const asked = new URLSearchParams({
    client_id: "openziti",
    response_type: "code",
    scope: "openid offline_access",
    state: "some-state-of-mine",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    redirect_uri: redirect,
  });
  const authorized = await rest(fabric, `GET /oidc/authorize?${asked.toString()}`);
  const id = paramsOf(authorized.headers["location"]).get("authRequestID") ?? "";
  const loggedIn = await rest(fabric, "POST /oidc/login/cert", { as: who, headers: form, body: `id=${id}` });
  if (loggedIn.status !== 302) throw new Error(loggedIn.text);
  const back = await rest(fabric, `GET ${String(loggedIn.headers["location"])}`);
  const returned = paramsOf(back.headers["location"]);
  if (returned.get("state") !== "some-state-of-mine") throw new Error("the state is not ours");
  const exchange = {
    grant_type: "authorization_code",
    code: returned.get("code") ?? "",
    redirect_uri: redirect,
    client_id: "openziti",
    code_verifier: verifier,
    ...tamper,
  };
  return tokensOf(
    await rest(fabric, "POST /oidc/oauth/token", { headers: form, body: new URLSearchParams(exchange).toString() }),
  );
}

/** Changes a refresh token for fresh ones. */
export async function oidcRefresh(fabric: Fabric, refresh_token: string): Promise<OidcTokens> {
  const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token, client_id: "openziti" }).toString();
  return tokensOf(await rest(fabric, "POST /oidc/oauth/token", { headers: form, body }));
}

function tokensOf(answer: Awaited<ReturnType<typeof rest>>): OidcTokens {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  const { access_token, refresh_token } = answer.json();
  return { access: String(access_token), refresh: String(refresh_token) };
}

function paramsOf(location: string | string[] | undefined): URLSearchParams {
  return new URL(String(location), "https://controller").searchParams;
}
