import { afterAll, beforeAll, expect, test } from "vitest";
import { createAuthenticator } from "../../server/src/api/authenticate.ts";
import { createAccessToken, parseAccessToken } from "../../server/src/identity/access-token.ts";
import { openAccessWorld, reasonOf, type AccessClients, type AccessWorld } from "./world.ts";

let world: AccessWorld;
let admin: AccessClients;

beforeAll(async () => {
  world = await openAccessWorld();
  admin = world.as(world.adminToken);
});
afterAll(() => world.close());

test("a token's text leads to its id and hash; a changed, cut or longer one is refused without being echoed", () => {
  const { id, hash, text } = createAccessToken();
  expect(parseAccessToken(text)).toEqual({ id, hash });
  const changed = text.replace(/.$/, (last) => (last === "a" ? "e" : "a"));
  const other = text.replace(/_([a-z2-7])(?=[a-z2-7]{15}_)/, (_, first) => `_${first === "b" ? "c" : "b"}`);
  for (const broken of [
    changed,
    other,
    text.slice(1),
    text.slice(0, -1),
    `${text}a`,
    text.toUpperCase(),
    `${text} `,
    "",
    "x".repeat(99_999),
  ]) {
    const parsed = parseAccessToken(broken);
    expect(parsed).toEqual({ error: expect.stringMatching(/^access token /) });
    expect(JSON.stringify(parsed)).not.toContain(text.slice(30, 60));
  }
});

test("calls without a token, with a malformed, an unknown or an expired one are refused", async () => {
  const { token, accessToken } = await admin.tokens.createAccessToken({ name: "short", lifetime: { seconds: 60n } });
  await world.database.sql`update access_token set expire_time = now() where id = ${accessToken!.id}`;
  for (const text of [undefined, "hello", createAccessToken().text, token]) {
    expect(await reasonOf(world.as(text).server.getServer({}))).toBe("UNAUTHENTICATED");
  }
});

test("a revoked token is refused within a second", async () => {
  const { token, accessToken } = await admin.tokens.createAccessToken({ name: "brief" });
  const clients = world.as(token);
  expect(await reasonOf(clients.server.getServer({}))).toBe("ok");
  await admin.tokens.revokeAccessToken({ accessToken: accessToken!.id.slice(0, 12) });
  await expect.poll(() => reasonOf(clients.server.getServer({})), { timeout: 1000 }).toBe("UNAUTHENTICATED");
});

test("revoking a token again, by its name or id, comes to the same and is one event", async () => {
  const { accessToken } = await admin.tokens.createAccessToken({ name: "twice" });
  const { id } = accessToken!;
  const first = await admin.tokens.revokeAccessToken({ accessToken: "twice" });

  for (const reference of ["twice", id])
    expect(await admin.tokens.revokeAccessToken({ accessToken: reference })).toEqual(first);

  const { sql } = world.database;
  const events = await sql`select from audit_event where object_id = ${id} and action = 'access_token.revoke'`;
  expect(events).toHaveLength(1);
  await admin.tokens.createAccessToken({ name: "twice" });
  const { accessToken: later } = await admin.tokens.revokeAccessToken({ accessToken: "twice" });
  expect(later!.id).not.toBe(id);
});

test("who calls on and on is looked for anew, and waits for it once only", async () => {
  const authorization = `Bearer ${world.adminToken}`;
  const authenticate = createAuthenticator({ sql: world.database.sql, cache_ms: 4000 });
  const first = await authenticate(authorization);
  const waits: boolean[] = [];
  const isAnother = async () => {
    const call = authenticate(authorization);
    const turn = new Promise<boolean>((resolve) => setImmediate(resolve, true));
    waits.push(await Promise.race([call.then(() => false), turn]));
    return (await call) !== first;
  };
  await expect.poll(isAnother).toBe(true);
  expect(waits).not.toContain(true);
});

test("a limited token does what its scopes say and makes none that can do more", async () => {
  const scopes = ["tokens.manage", "tokens.read"];
  const { token } = await admin.tokens.createAccessToken({ name: "limited", scopes });
  const { tokens, users } = world.as(token);
  expect(await reasonOf(users.getUser({}))).toBe("TOKEN_SCOPE");
  expect(await reasonOf(tokens.createAccessToken({ name: "all" }))).toBe("TOKEN_SCOPE");
  expect(await reasonOf(tokens.createAccessToken({ name: "wide", scopes: ["users.manage"] }))).toBe("TOKEN_SCOPE");
  expect(await reasonOf(tokens.createAccessToken({ name: "same", scopes: ["tokens.read"] }))).toBe("ok");
});

test("bad-34: a scope that is no permission is refused by name", async () => {
  for (const scope of ["runners.rea", "runners.reads", "runner.session"]) {
    expect(await reasonOf(admin.tokens.createAccessToken({ name: "odd", scopes: [scope] }))).toBe("INVALID_ARGUMENT");
  }
});

test("a token is found by its owner only", async () => {
  const user = await world.createUser("thief");
  const { accessToken } = await admin.tokens.createAccessToken({ name: "mine" });
  expect(await reasonOf(user.clients.tokens.revokeAccessToken({ accessToken: accessToken!.id }))).toBe("NOT_FOUND");
  const { accessTokens } = await user.clients.tokens.listAccessTokens({});
  expect(accessTokens.map(({ name }) => name)).toEqual(["first"]);
});

test("I6: neither the database nor the audit holds a token's text", async () => {
  const { token } = await admin.tokens.createAccessToken({ name: "secret" });
  const { sql } = world.database;
  const rows = [
    ...(await sql`select to_jsonb(t) as row from access_token t`),
    ...(await sql`select to_jsonb(a) as row from audit_event a`),
  ];
  expect(JSON.stringify(rows)).not.toContain(token.slice(26));
});
