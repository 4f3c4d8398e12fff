import { afterAll, beforeAll, expect, test } from "vitest";
import { createId, idPrefixes, type IdKind } from "../../wire/ids.ts";
import { outcomeOf } from "./call.ts";
import { openContractWorld, type ContractWorld, type TestUser } from "./world.ts";

let contract: ContractWorld;
let olga: TestUser;

beforeAll(async () => {
  contract = await openContractWorld();
  ({ olga } = contract.users);
});
afterAll(() => contract.close());

const refusalOf = (answer: Promise<unknown>) => answer.then(() => "answered", outcomeOf);
const acme = { case: "organization", value: "acme" } as const;
const paths = ["name"];
const command = { case: "simulation", value: {} } as const;

/** Every way to give a name, by the kind of thing that gets it. */
const namings: readonly [string, IdKind, (name: string) => Promise<unknown>][] = [
  ["CreateOrganization", "organization", (name) => contract.world.admin.organizations.createOrganization({ name })],
  [
    "UpdateOrganization",
    "organization",
    (name) => olga.clients.organizations.updateOrganization({ organization: "acme", name, updateMask: { paths } }),
  ],
  ["CreateUser", "user", (name) => contract.world.admin.users.createUser({ name })],
  ["CreateUser's organization", "organization", (name) => contract.world.admin.users.createUser({ name })],
  ["RegisterRunner", "runner", (name) => olga.clients.runners.registerRunner({ name, scope: { kind: acme } })],
  [
    "UpdateRunner",
    "runner",
    (name) => olga.clients.runners.updateRunner({ runner: "first", name, updateMask: { paths } }),
  ],
  [
    "StartWorkload",
    "workload",
    (name) => olga.clients.orchestrator.startWorkload({ organization: "acme", name, spec: { command } }),
  ],
  ["CreateAccessToken", "accessToken", (name) => olga.clients.tokens.createAccessToken({ name })],
];

test.each(namings)("%s refuses a name that reads as an id or as the start of one", async (_method, kind, give) => {
  const ownPrefix = `${idPrefixes[kind]}_`;
  const refused = (message: string) => ({ reason: "INVALID_ARGUMENT", fields: ["name"], message: `name: ${message}` });
  expect(await refusalOf(give(`${ownPrefix}k3`))).toMatchObject(
    refused(`must not begin with "${ownPrefix}", as ids do`),
  );
  for (const one of [kind, "job"] as const)
    expect(await refusalOf(give(createId(one)))).toMatchObject({ reason: "INVALID_ARGUMENT", fields: ["name"] });
  expect(await refusalOf(give(createId("job")))).toMatchObject(refused("must not have the form of an id"));
});

test("a user is found by id, by name and by the start of the id, and several that fit are listed", async () => {
  const { users } = contract.world.admin;
  const { id } = contract.users.vera;
  for (const reference of [id, "vera", id.slice(0, 12)]) {
    expect((await users.getUser({ user: reference })).user?.id, reference).toBe(id);
  }
  const ambiguous = await refusalOf(users.getUser({ user: "usr_" }));
  expect(ambiguous).toMatchObject({ reason: "AMBIGUOUS_REFERENCE", message: expect.stringContaining(`${id} (vera)`) });
});

test("bad-48: the start of an id leads only to users of one's own organizations", async () => {
  const { organizations, users } = contract.users.sam.clients;
  const { id } = contract.users.vera;
  const role = 1;
  const start = id.slice(0, 12);
  const setMember = organizations.setMember({ organization: "other", user: start, role });
  expect(await refusalOf(setMember)).toMatchObject({ reason: "NOT_FOUND" });
  expect(await refusalOf(users.getUser({ user: start }))).toMatchObject({ reason: "NOT_FOUND" });
  const { member } = await olga.clients.organizations.setMember({ organization: "acme", user: start, role });
  expect(member?.userId).toBe(id);
});

test("an access token is revoked by its name, and several of one name are listed", async () => {
  const { tokens } = olga.clients;
  const make = async (name: string) => (await tokens.createAccessToken({ name })).accessToken!.id;
  const id = await make("laptop");
  for (const turn of ["first", "repeated"])
    expect((await tokens.revokeAccessToken({ accessToken: "laptop" })).accessToken, turn).toMatchObject({ id });
  const twins = [await make("twin"), await make("twin")];
  const ambiguous = await refusalOf(tokens.revokeAccessToken({ accessToken: "twin" }));
  expect(ambiguous).toMatchObject({ reason: "AMBIGUOUS_REFERENCE" });
  for (const twin of twins) expect(ambiguous).toMatchObject({ message: expect.stringContaining(`${twin} (twin)`) });
  expect((await tokens.revokeAccessToken({ accessToken: twins[0]! })).accessToken?.revokeTime).toBeDefined();
  expect((await tokens.revokeAccessToken({ accessToken: "twin" })).accessToken?.id).toBe(twins[1]);
});
