import { afterEach, beforeEach, expect, test } from "vitest";
import { startFabric, type Fabric, type FabricIdentity } from "../../support/fabric/fabric.ts";
import { loginAdmin } from "./admin.ts";
import { createForeignAuthority, type ForeignAuthority } from "./foreign-authority.ts";
import { oidcLogin, oidcRefresh } from "./oidc-login.ts";
import { legacyLogin, rest, serviceSession, tokenHeader } from "./raw-client.ts";

let fabric: Fabric;
let runner: FabricIdentity;

beforeEach(async () => {
  fabric = await startFabric();
  runner = await fabric.addIdentity("runner");
});
afterEach(() => fabric.close());

const client = "/edge/client/v1";
const spiffe = "spiffe://agyn/org/a/runner/b";
const claim = {
  location: "SAN_URI",
  matcher: "ALL",
  matcherCriteria: "",
  parser: "NONE",
  parserCriteria: "",
  index: 0,
};

async function currentName(token: string): Promise<unknown> {
  const answer = await rest(fabric, `GET ${client}/current-identity`, { headers: tokenHeader(token) });
  return answer.status === 200 ? answer.json().data["name"] : answer.json().error["code"];
}

/** Registers an authority as an operator does, and proves that its key is held. */
async function registerAuthority(authority: ForeignAuthority): Promise<void> {
  const admin = await loginAdmin(fabric);
  const flags = { isAutoCaEnrollmentEnabled: false, isOttCaEnrollmentEnabled: false, isAuthEnabled: true };
  const fields = { name: "ours", certPem: authority.certPem, ...flags, externalIdClaim: claim };
  const id = await admin.create("cas", fields);
  const { verificationToken } = (await admin.call(`GET /cas/${id}`)).json().data;
  const { certPem } = await authority.issue({ commonName: String(verificationToken) });
  const { "zt-session": session = "" } = tokenHeader(await legacyLogin(fabric, fabric.admin));
  const headers = { "zt-session": session, "content-type": "text/plain" };
  const verified = await rest(fabric, `POST /edge/management/v1/cas/${id}/verify`, { headers, body: certPem });
  if (verified.status !== 200) throw new Error(verified.text);
}

test("a certificate and a password log in, each of its own identity", async () => {
  expect(await currentName(await legacyLogin(fabric, runner))).toBe("runner");
  const { username, password } = fabric.admin;
  const answer = await rest(fabric, `POST ${client}/authenticate?method=password`, { body: { username, password } });
  expect(answer.headers["ziti-instance-id"]).toMatch(/^[\w-]{36}$/);
  expect(await currentName(String(answer.json().data["token"]))).toBe("Default Admin");
  const wrong = await rest(fabric, `POST ${client}/authenticate?method=password`, {
    body: { username, password: "no" },
  });
  expect([wrong.status, wrong.json().error["code"]]).toEqual([401, "INVALID_AUTH"]);
});

test("OIDC tokens work as bearers, and a refresh token works once", async () => {
  const tokens = await oidcLogin(fabric, runner);
  expect(await currentName(tokens.access)).toBe("runner");
  const fresh = await oidcRefresh(fabric, tokens.refresh);
  expect(await currentName(fresh.access)).toBe("runner");
  await expect(oidcRefresh(fabric, tokens.refresh)).rejects.toThrow("invalid_grant");
  expect(fabric.violations).toEqual([]);
});

test("a code is worth nothing without the verifier of its challenge", async () => {
  await expect(oidcLogin(fabric, runner, { code_verifier: "x".repeat(43) })).rejects.toThrow("code_verifier");
  expect(fabric.violations).toHaveLength(1);
});

test("an access token ends after its life, a session after half an hour without use", async () => {
  const { access } = await oidcLogin(fabric, runner);
  const token = await legacyLogin(fabric, runner);
  fabric.advance(29 * 60_000);
  expect([await currentName(access), await currentName(token)]).toEqual(["runner", "runner"]);
  fabric.advance(29 * 60_000);
  expect([await currentName(access), await currentName(token)]).toEqual(["UNAUTHORIZED", "runner"]);
  fabric.advance(31 * 60_000);
  expect(await currentName(token)).toBe("UNAUTHORIZED");
});

test.each(["1.6.20", "2.0.3"] as const)(
  "%s says what it is, and gives sessions tokens of its own kind",
  async (version) => {
    await using other = await startFabric({ version });
    const answer = await rest(other, `GET ${client}/version`);
    expect(answer.json().data).toMatchObject({ version: `v${version}`, capabilities: ["OIDC_AUTH"] });
    const who = await other.addIdentity("who");
    const service = other.addService("a");
    other.permit("Dial", ["#all"], service);
    const token = await serviceSession(other, await legacyLogin(other, who), service.id, "Dial");
    expect(token.split(".")).toHaveLength(version === "2.0.3" ? 3 : 1);
  },
);

test("a fresh certificate of a verified authority logs in as whom its URI names, by both logins", async () => {
  const authority = await createForeignAuthority();
  const known = await authority.issue({ commonName: "x", uri: spiffe });
  const stranger = await authority.issue({ commonName: "x", uri: `${spiffe}2` });
  fabric.model.identities.update(fabric.model.identities.get(runner.id) ?? expect.fail(), { externalId: spiffe });
  const attempt = async (as: typeof known) =>
    (await rest(fabric, `POST ${client}/authenticate?method=cert`, { as })).status;
  expect(await attempt(known)).toBe(401);

  await registerAuthority(authority);
  expect([await attempt(known), await attempt(stranger)]).toEqual([200, 401]);
  const tokens = await oidcLogin(fabric, { ...runner, ...known });
  expect(await currentName(tokens.access)).toBe("runner");
});

test("an expired certificate logs in under the default policy, and under one that forbids it does not", async () => {
  const authority = await createForeignAuthority();
  await registerAuthority(authority);
  const identity = fabric.model.identities.get(runner.id) ?? expect.fail();
  fabric.model.identities.update(identity, { externalId: spiffe });
  const expired = await authority.issue({ commonName: "x", uri: spiffe, until_ms: -1000 });
  const attempt = async () => (await rest(fabric, `POST ${client}/authenticate?method=cert`, { as: expired })).status;
  expect(await attempt()).toBe(200);

  const { primary, secondary } = fabric.model.authPolicies.get("default") ?? expect.fail();
  const strict = { ...primary, cert: { allowed: true, allowExpiredCerts: false } };
  const policy = fabric.model.authPolicies.insert({ name: "strict", primary: strict, secondary });
  fabric.model.identities.update(identity, { authPolicyId: policy.id });
  expect(await attempt()).toBe(401);
});

test("a URI is matched as a whole or by its scheme, never by a prefix", async () => {
  const admin = await loginAdmin(fabric);
  const flags = { isAutoCaEnrollmentEnabled: false, isOttCaEnrollmentEnabled: false, isAuthEnabled: true };
  const { certPem } = await createForeignAuthority();
  const withMatcher = async (matcher: string) =>
    (await admin.call("POST /cas", { name: matcher, certPem, ...flags, externalIdClaim: { ...claim, matcher } }))
      .status;
  expect([await withMatcher("PREFIX"), await withMatcher("SCHEME")]).toEqual([400, 201]);
});

test("an authority is verified only by a certificate that it issued for the token", async () => {
  const admin = await loginAdmin(fabric);
  const authority = await createForeignAuthority();
  const flags = { isAutoCaEnrollmentEnabled: false, isOttCaEnrollmentEnabled: false, isAuthEnabled: true };
  const id = await admin.create("cas", { name: "ours", certPem: authority.certPem, ...flags });
  const { certPem } = await authority.issue({ commonName: "another" });
  const headers = { ...tokenHeader(await legacyLogin(fabric, fabric.admin)), "content-type": "text/plain" };
  const answer = await rest(fabric, `POST /edge/management/v1/cas/${id}/verify`, { headers, body: certPem });
  expect(answer.status).toBe(400);
  expect((await admin.call(`GET /cas/${id}`)).json().data).toMatchObject({ isVerified: false });
});

test("services are those that a policy shows, and sessions those that it grants", async () => {
  const token = await legacyLogin(fabric, runner);
  const [seen, hidden] = [fabric.addService("seen"), fabric.addService("hidden")];
  fabric.permit("Dial", [`@${runner.id}`], seen);
  const answer = await rest(fabric, `GET ${client}/services?configTypes=all&limit=500`, {
    headers: tokenHeader(token),
  });
  expect(answer.json()).toMatchObject({
    data: [{ name: "seen", permissions: ["Dial"] }],
    meta: { pagination: { totalCount: 1 } },
  });
  await expect(serviceSession(fabric, token, seen.id, "Bind")).rejects.toThrow("400");
  await expect(serviceSession(fabric, token, hidden.id, "Dial")).rejects.toThrow("404");
  await fabric.router().kill();
  await expect(serviceSession(fabric, token, seen.id, "Dial")).rejects.toThrow("NO_EDGE_ROUTERS_AVAILABLE");
  expect(fabric.violations).toEqual([]);
});

test("whoever polls for changes of services hears of one that is gone", async () => {
  const headers = tokenHeader(await legacyLogin(fabric, runner));
  const service = fabric.addService("seen");
  const changed = async () =>
    (await rest(fabric, `GET ${client}/current-api-session/service-updates`, { headers })).json().data["lastChangeAt"];
  const before = await changed();
  fabric.advance(1000);
  expect(await changed()).toBe(before);
  fabric.model.services.delete(service.id);
  expect(await changed()).not.toBe(before);
});

test("a refusal of 2.0 says how to log in, one of 1.6 does not", async () => {
  const refusal = async (of: Fabric) => (await rest(of, `GET ${client}/current-identity`)).headers["www-authenticate"];
  await using older = await startFabric({ version: "1.6.20" });
  expect([await refusal(fabric), await refusal(older)]).toEqual([expect.stringContaining("zt-session"), undefined]);
});
