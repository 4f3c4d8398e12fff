import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startFabric, type Fabric } from "../../support/fabric/fabric.ts";
import { loginAdmin, type Admin } from "./admin.ts";
import { legacyLogin, rest } from "./raw-client.ts";

let fabric: Fabric;
let admin: Admin;

beforeEach(async () => {
  fabric = await startFabric();
  admin = await loginAdmin(fabric);
});
afterEach(() => fabric.close());

const cert = { allowed: true, allowExpiredCerts: false };
const updb = {
  allowed: false,
  minPasswordLength: 5,
  requireSpecialChar: false,
  requireNumberChar: false,
  requireMixedCase: false,
  maxAttempts: 0,
  lockoutDurationMinutes: 0,
};
const primary = { cert, updb, extJwt: { allowed: false, allowedSigners: [] } };
const policy = { semantic: "AnyOf", identityRoles: ["#runner"] };

const records: [kind: string, fields: object, change: object][] = [
  [
    "identities",
    { name: "a", type: "Device", isAdmin: false, roleAttributes: ["runner"] },
    { externalId: "spiffe://x" },
  ],
  ["services", { name: "a", encryptionRequired: true, roleAttributes: ["r"] }, { maxIdleTimeMillis: 5 }],
  ["service-policies", { name: "a", type: "Dial", ...policy, serviceRoles: ["#all"] }, { semantic: "AllOf" }],
  ["edge-router-policies", { name: "a", ...policy, edgeRouterRoles: ["#all"] }, { semantic: "AllOf" }],
  [
    "service-edge-router-policies",
    { name: "a", serviceRoles: ["#r"], edgeRouterRoles: ["#all"] },
    { serviceRoles: [] },
  ],
  ["auth-policies", { name: "a", primary, secondary: { requireTotp: false } }, { name: "b" }],
];

describe.each(records)("%s", (kind, fields, change) => {
  test("are created, read, listed, changed, tagged and deleted", async () => {
    const id = await admin.create(kind, { ...fields, tags: { managedBy: "me" } });
    expect((await admin.call(`GET /${kind}/${id}`)).json().data).toMatchObject({
      id,
      ...fields,
      tags: { managedBy: "me" },
    });
    expect((await admin.call(`PATCH /${kind}/${id}`, change)).status).toBe(200);
    expect((await admin.call(`GET /${kind}/${id}`)).json().data).toMatchObject({ ...fields, ...change });
    const mine = encodeURIComponent('tags.managedBy="me" limit none');
    expect((await admin.list(`${kind}?filter=${mine}`)).total).toBe(1);
    expect((await admin.call(`DELETE /${kind}/${id}`)).status).toBe(200);
    expect((await admin.call(`GET /${kind}/${id}`)).status).toBe(404);
    expect(fabric.violations).toEqual([]);
  });

  test("have unique names", async () => {
    await admin.create(kind, fields);
    const { error } = (await admin.call(`POST /${kind}`, fields)).json();
    expect(error).toMatchObject({
      code: "COULD_NOT_VALIDATE",
      cause: { field: "name", reason: "name must be unique" },
    });
    expect(fabric.violations).toEqual([]);
  });

  test("are refused with a field too many, or one too few", async () => {
    const extra = await admin.call(`POST /${kind}`, { ...fields, colour: "red" });
    const nameless = await admin.call(`POST /${kind}`, { ...fields, name: undefined });
    expect([extra.status, nameless.status]).toEqual([400, 400]);
    expect(fabric.violations).toHaveLength(2);
    expect(fabric.violations[0]).toContain(`POST /edge/management/v1/${kind}`);
  });
});

test("lists come in pages of ten, of up to five hundred, and say how many there are", async () => {
  for (let index = 0; index < 12; index++) fabric.addService(`service-${String(index).padStart(2, "0")}`);
  expect(await admin.list("services")).toMatchObject({ names: { length: 10 }, total: 12 });
  expect(await admin.list("services?limit=500&offset=11")).toEqual({ names: ["service-11"], total: 12 });
  const filter = encodeURIComponent('name contains "service" sort by name desc skip 1 limit 2');
  expect(await admin.list(`services?filter=${filter}`)).toEqual({ names: ["service-10", "service-09"], total: 12 });
  expect((await admin.call("GET /services?limit=501")).status).toBe(400);
  expect((await admin.call("GET /services?page=2")).status).toBe(400);
  expect(fabric.violations).toHaveLength(2);
});

test("roleFilter finds records by their attributes", async () => {
  fabric.addService("both", { roleAttributes: ["a", "b"] });
  fabric.addService("one", { roleAttributes: ["a"] });
  const roles = `roleFilter=${encodeURIComponent("#a")}&roleFilter=${encodeURIComponent("#b")}`;
  expect((await admin.list(`services?${roles}&roleSemantic=AnyOf`)).names).toEqual(["both", "one"]);
  expect((await admin.list(`services?${roles}`)).names).toEqual(["both"]);
});

test("what is still referenced cannot be deleted", async () => {
  const authPolicyId = await admin.create("auth-policies", {
    name: "ours",
    primary,
    secondary: { requireTotp: false },
  });
  await admin.create("identities", { name: "a", type: "Default", isAdmin: false, authPolicyId });
  const answer = await admin.call(`DELETE /auth-policies/${authPolicyId}`);
  expect([answer.status, answer.json().error["code"]]).toEqual([409, "CAN_NOT_DELETE_REFERENCED_ENTITY"]);
});

test("a role that names nothing is refused, and a deleted record leaves the roles", async () => {
  const { id } = fabric.addService("a");
  const fields = { name: "p", type: "Bind", semantic: "AnyOf", identityRoles: ["#all"], serviceRoles: [`@${id}`] };
  const policyId = await admin.create("service-policies", fields);
  await admin.call(`DELETE /services/${id}`);
  expect((await admin.call(`GET /service-policies/${policyId}`)).json().data).toMatchObject({ serviceRoles: [] });
  expect((await admin.call("POST /service-policies", { ...fields, name: "q" })).status).toBe(400);
  expect((await admin.call("POST /service-policies", { ...fields, serviceRoles: ["#all", "#a"] })).status).toBe(400);
});

test("an external id belongs to one identity", async () => {
  const fields = { type: "Default", isAdmin: false, externalId: "spiffe://a" };
  await admin.create("identities", { ...fields, name: "a" });
  const { error } = (await admin.call("POST /identities", { ...fields, name: "b" })).json();
  expect(error).toMatchObject({ code: "COULD_NOT_VALIDATE", cause: { field: "externalId" } });
});

test("policy advice counts routers and says what is allowed", async () => {
  const runner = await fabric.addIdentity("runner");
  const service = fabric.addService("a");
  fabric.permit("Dial", [`@${runner.id}`], service);
  const path = `GET /identities/${runner.id}/policy-advice/${service.id}`;
  expect((await admin.call(path)).json().data).toMatchObject({
    isDialAllowed: true,
    isBindAllowed: false,
    identityRouterCount: 1,
    serviceRouterCount: 1,
    commonRouters: [{ name: "router-1", isOnline: true }],
  });
  await fabric.router().kill();
  expect((await admin.call(path)).json().data).toMatchObject({ identityRouterCount: 1, commonRouters: [] });
});

test("only administrators are let in", async () => {
  const runner = await fabric.addIdentity("runner");
  const headers = { "zt-session": await legacyLogin(fabric, runner) };
  const answer = await rest(fabric, "GET /edge/management/v1/identities", { headers });
  expect([answer.status, answer.json().error["code"]]).toEqual([401, "UNAUTHORIZED"]);
});

test("a controller told to fail fails that often, and one that is away answers nobody until it is back", async () => {
  fabric.controller.failNext(429, "RATE_LIMITED", 2);
  const statuses = [
    await admin.call("GET /services"),
    await admin.call("GET /services"),
    await admin.call("GET /services"),
  ];
  expect(statuses.map(({ status }) => status)).toEqual([429, 429, 200]);
  fabric.controller.away();
  await expect(admin.call("GET /services")).rejects.toThrow();
  fabric.controller.back();
  expect((await admin.call("GET /services")).status).toBe(200);
});
