import { afterAll, beforeAll, expect, test } from "vitest";
import { MemberRole } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { createId } from "../../wire/ids.ts";
import { openAccessWorld, reasonOf, type AccessClients, type AccessWorld } from "./world.ts";

let world: AccessWorld;
let admin: AccessClients;

beforeAll(async () => {
  world = await openAccessWorld();
  admin = world.as(world.adminToken);
});
afterAll(() => world.close());

test("the first start makes an admin with a personal organization and the organization default", async () => {
  const { organizations } = await admin.organizations.listOrganizations({});
  expect(organizations.map(({ name }) => name)).toEqual(["admin", "default"]);
  expect((await admin.organizations.getOrganization({})).organization?.name).toBe("default");
});

test("who creates an organization owns it, and the audit tells who did it", async () => {
  const { organization } = await admin.organizations.createOrganization({ name: "acme" });
  const { members } = await admin.organizations.listMembers({ organization: "acme" });
  expect(members.map(({ userName, role }) => [userName, role])).toEqual([["admin", MemberRole.OWNER]]);
  const scope = { kind: { case: "organization", value: "acme" } } as const;
  const { auditEvents } = await admin.audit.listAuditEvents({ scope });
  expect(auditEvents).toMatchObject([{ action: "organization.create", objectId: organization!.id, outcome: "ok" }]);
});

test("bad-30: the same idempotency key creates one organization, with another request it is refused", async () => {
  const request = { name: "twice", idempotencyKey: "k1" };
  const answers = await Promise.all([1, 2, 3].map(() => admin.organizations.createOrganization(request)));
  expect(new Set(answers.map(({ organization }) => organization!.id)).size).toBe(1);
  expect(await reasonOf(admin.organizations.createOrganization({ ...request, name: "other" }))).toBe(
    "IDEMPOTENCY_KEY_REUSED",
  );
});

test("a name is taken once in the cluster, and none has the form of an id", async () => {
  await admin.organizations.createOrganization({ name: "unique" });
  expect(await reasonOf(admin.organizations.createOrganization({ name: "unique" }))).toBe("NAME_TAKEN");
  expect(await reasonOf(admin.organizations.createOrganization({ name: createId("organization") }))).toBe(
    "INVALID_ARGUMENT",
  );
});

test("the last owner stays, also when two leave at once", async () => {
  await admin.organizations.createOrganization({ name: "owned" });
  const second = await world.createUser("second-owner");
  await admin.organizations.setMember({ organization: "owned", user: second.name, role: MemberRole.OWNER });
  const leave = (user: string) => reasonOf(admin.organizations.removeMember({ organization: "owned", user }));
  expect((await Promise.all([leave("admin"), leave(second.name)])).toSorted()).toEqual(["STATE", "ok"]);
  const { members } = await admin.organizations.listMembers({ organization: "owned" });
  const [left] = members;
  const demote = { organization: "owned", user: left!.userName, role: MemberRole.VIEWER };
  expect(await reasonOf(admin.organizations.setMember(demote))).toBe("STATE");
});

test("a personal organization is neither renamed nor deleted, and its user stays its owner", async () => {
  const user = await world.createUser("private");
  const { organizations } = user.clients;
  const rename = { organization: "private", name: "public", updateMask: { paths: ["name"] } };
  expect(await reasonOf(organizations.updateOrganization(rename))).toBe("STATE");
  expect(await reasonOf(organizations.deleteOrganization({ organization: "private" }))).toBe("STATE");
  expect(await reasonOf(organizations.removeMember({ organization: "private", user: "private" }))).toBe("STATE");
});

test("an organization with a runner is not deleted, an empty one is", async () => {
  const { organization } = await admin.organizations.createOrganization({ name: "leaving" });
  const runnerId = createId("runner");
  await world.database.sql`
    insert into runner (id, organization_id, name, token_public_key) values (${runnerId}, ${organization!.id}, 'r', ''::bytea)`;
  expect(await reasonOf(admin.organizations.deleteOrganization({ organization: "leaving" }))).toBe("STATE");
  await world.database.sql`update runner set delete_time = now() where id = ${runnerId}`;
  await admin.organizations.deleteOrganization({ organization: "leaving" });
  expect(await reasonOf(admin.organizations.getOrganization({ organization: organization!.id }))).toBe("NOT_FOUND");
});

test("a user sees only organizations it belongs to; a cluster admin may list all", async () => {
  const user = await world.createUser("outsider");
  const { organizations } = await user.clients.organizations.listOrganizations({});
  expect(organizations.map(({ name }) => name)).toEqual(["outsider"]);
  expect(await reasonOf(user.clients.organizations.listOrganizations({ all: true }))).toBe("PERMISSION_DENIED");
  expect(await reasonOf(user.clients.organizations.getOrganization({ organization: "default" }))).toBe("NOT_FOUND");
  const all = await admin.organizations.listOrganizations({ all: true });
  expect(all.organizations.map(({ name }) => name)).toContain("outsider");
});

test("lists of organizations page without losing or doubling one", async () => {
  const all = await admin.organizations.listOrganizations({ all: true });
  const names: string[] = [];
  for (let pageToken = "", more = true; more; more = pageToken !== "") {
    const page = await admin.organizations.listOrganizations({ all: true, pageSize: 2, pageToken });
    names.push(...page.organizations.map(({ name }) => name));
    pageToken = page.nextPageToken;
  }
  expect(names).toEqual(all.organizations.map(({ name }) => name));
});

test("who is made a member sees the organization at once, who is removed no longer within a second", async () => {
  const user = await world.createUser("guest");
  const get = () => reasonOf(user.clients.organizations.getOrganization({ organization: "default" }));
  expect(await get()).toBe("NOT_FOUND");
  await admin.organizations.setMember({ organization: "default", user: "guest", role: MemberRole.VIEWER });
  expect(await get()).toBe("ok");
  await admin.organizations.removeMember({ organization: "default", user: "guest" });
  await expect.poll(get, { timeout: 1000 }).toBe("NOT_FOUND");
});

test("a page token of another list is refused", async () => {
  const { nextPageToken } = await admin.users.listUsers({ pageSize: 1 });
  for (const pageToken of [nextPageToken, "x", "AAAA"]) {
    expect(await reasonOf(admin.organizations.listOrganizations({ pageToken }))).toBe("INVALID_ARGUMENT");
    expect(await reasonOf(admin.tokens.listAccessTokens({ pageToken }))).toBe("INVALID_ARGUMENT");
  }
});
