import { afterAll, beforeAll, expect, test } from "vitest";
import { MemberRole } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { openAccessWorld, reasonOf, type AccessClients, type AccessWorld } from "./world.ts";

let world: AccessWorld;
let admin: AccessClients;

beforeAll(async () => {
  world = await openAccessWorld();
  admin = world.as(world.adminToken);
});
afterAll(() => world.close());

test("a new user has a personal organization and a token that works at once", async () => {
  const user = await world.createUser("ada");
  const { organization } = await user.clients.organizations.getOrganization({});
  expect(organization).toMatchObject({ name: "ada", personalUserId: user.id });
  expect((await user.clients.users.getUser({})).user?.name).toBe("ada");
});

test("a user whose name an organization has is refused whole", async () => {
  expect(await reasonOf(admin.users.createUser({ name: "default" }))).toBe("NAME_TAKEN");
  expect(await reasonOf(admin.users.getUser({ user: "default" }))).toBe("NOT_FOUND");
});

test("another user is there only for cluster admins", async () => {
  const user = await world.createUser("curious");
  expect(await reasonOf(user.clients.users.getUser({ user: "admin" }))).toBe("NOT_FOUND");
  expect(await reasonOf(user.clients.users.getUser({ user: "curious" }))).toBe("ok");
  expect((await admin.users.getUser({ user: user.id })).user?.name).toBe("curious");
});

test("the last cluster admin stays", async () => {
  const demote = { user: "admin", clusterAdmin: false, updateMask: { paths: ["cluster_admin"] } };
  expect(await reasonOf(admin.users.updateUser(demote))).toBe("STATE");
  expect(await reasonOf(admin.users.deleteUser({ user: "admin" }))).toBe("STATE");
});

test("a deleted user's token is refused within the time a caller is remembered, and its organization is gone", async () => {
  const user = await world.createUser("leaver");
  await user.clients.users.getUser({});
  await admin.users.deleteUser({ user: "leaver" });
  await expect.poll(() => reasonOf(user.clients.users.getUser({})), { timeout: 1000 }).toBe("UNAUTHENTICATED");
  expect(await reasonOf(admin.organizations.getOrganization({ organization: "leaver" }))).toBe("NOT_FOUND");
});

test("the last owner of a shared organization is not deleted", async () => {
  const user = await world.createUser("founder");
  await admin.organizations.createOrganization({ name: "startup" });
  await admin.organizations.setMember({ organization: "startup", user: "founder", role: MemberRole.OWNER });
  await admin.organizations.removeMember({ organization: "startup", user: "admin" });
  expect(await reasonOf(admin.users.deleteUser({ user: user.id }))).toBe("STATE");
});

test("only cluster admins manage users", async () => {
  const user = await world.createUser("climber");
  const promote = { user: user.id, clusterAdmin: true, updateMask: { paths: ["cluster_admin"] } };
  expect(await reasonOf(user.clients.users.updateUser(promote))).toBe("PERMISSION_DENIED");
  expect(await reasonOf(user.clients.users.listUsers({}))).toBe("PERMISSION_DENIED");
  expect(await reasonOf(user.clients.users.createUser({ name: "friend" }))).toBe("PERMISSION_DENIED");
});
