import { expect, test } from "vitest";
import {
  compareRecords,
  resolveFields,
  wantedRecords,
  type FoundRecord,
  type NetworkFacts,
  type WantedRecord,
} from "../../server/src/domain/overlay-plan.ts";

const runnerId = "rnr_aaaaaaaaaaaaaaaa";
const facts: NetworkFacts = {
  trustDomain: "agyn-one",
  identityEnrollment: "ca",
  controlPlaneUri: "spiffe://agyn-one/control-plane",
  runnersIssuerPem: "runners",
  controlPlaneIssuerPem: "control plane",
  servicePrefix: "",
  routerRoles: ["#public"],
  runners: [{ runnerId, uri: `spiffe://agyn-one/runner/${runnerId}`, isBarred: false }],
};
const wanted = wantedRecords(facts);

/** The records as a network that has them all would show them. */
function networkOf(records: readonly WantedRecord[]): FoundRecord[] {
  const bare = records.map(({ kind, name }, index) => ({ kind, name, id: `id-${index}`, fields: {} }));
  return records.map(({ kind, fields, isEnabled }, index) => {
    const more = { isVerified: kind === "cas", disabled: isEnabled === false, createdAt: "2026-01-01T00:00:00Z" };
    return { ...bare[index]!, fields: { ...resolveFields(fields, bare), ...more } };
  });
}

const rolesOf = (name: string) => {
  const { fields } = wanted.find((record) => record.name === `agyn.agyn-one.${name}`)!;
  return [fields["type"], fields["identityRoles"], fields["serviceRoles"]];
};

test("runners may dial the control plane alone, and host only what leads into themselves", () => {
  expect(wanted.filter(({ kind }) => kind === "service-policies")).toHaveLength(6);
  expect(rolesOf("runners-dial")).toEqual(["Dial", ["#agyn.agyn-one.runner"], ["#agyn.agyn-one.main-service"]]);
  expect(rolesOf(`${runnerId}-bind`)).toEqual(["Bind", [`#agyn.agyn-one.${runnerId}`], [`#agyn.agyn-one.${runnerId}`]]);
  expect(rolesOf("control-plane-bind")[1]).toEqual(["#agyn.agyn-one.control-plane"]);
  expect(rolesOf("control-plane-dial")[1]).toEqual(["#agyn.agyn-one.control-plane"]);
});

test("who has but the bootstrap role may dial enrollment alone, which the control plane alone may host", () => {
  const [bootstrap, enrollment] = [["#agyn.agyn-one.bootstrap"], ["#agyn.agyn-one.enrollment-service"]];
  expect(rolesOf("bootstrap-dial")).toEqual(["Dial", bootstrap, enrollment]);
  expect(rolesOf("enrollment-bind")).toEqual(["Bind", ["#agyn.agyn-one.control-plane"], enrollment]);
  const policies = wanted.filter(({ kind }) => kind === "service-policies");
  expect(policies.filter(({ fields }) => String(fields["identityRoles"]) === String(bootstrap))).toHaveLength(1);
});

test("where the network issues certificates it is told of no authority of ours, and of no name that one could vouch for", () => {
  const records = wantedRecords({ ...facts, identityEnrollment: "ott" });
  expect(records.filter(({ kind }) => kind === "cas")).toEqual([]);
  const identities = records.filter(({ kind }) => kind === "identities");
  expect(identities).toHaveLength(2);
  for (const { fields } of identities) expect(fields).not.toHaveProperty("externalId");
});

test("all of it carries our tags, and no name or role of one trust domain is also another's", () => {
  const other = wantedRecords({ ...facts, trustDomain: "agyn-two", runners: [] });
  const names = new Set(wanted.map(({ name }) => name));
  const shared = other.filter(({ name }) => names.has(name)).map(({ name }) => name);

  for (const { fields } of wanted) expect(fields["tags"]).toEqual({ managedBy: "agyn", agynTrustDomain: "agyn-one" });
  expect(shared).toEqual(["agyn-control-plane", "agyn-enroll"]);
  const prefixed = wantedRecords({ ...facts, trustDomain: "agyn-two", servicePrefix: "two-", runners: [] });
  expect(prefixed.filter(({ name }) => names.has(name))).toEqual([]);
});

test("a network that has it all, with whatever else it says of it, differs in nothing", () => {
  expect(compareRecords(wanted, networkOf(wanted)).filter(({ is }) => is !== "same")).toEqual([]);
});

test("lists are sets, and what is empty may be missing", () => {
  const record: WantedRecord = { kind: "services", name: "a", fields: { roleAttributes: ["x", "y"], configs: [] } };
  const found = {
    kind: "services",
    name: "a",
    id: "1",
    fields: { roleAttributes: ["y", "x"], configs: null },
  } as const;
  expect(compareRecords([record], [found])).toMatchObject([{ is: "same" }]);
});

test.each([
  ["an attribute too many", "identities", { roleAttributes: ["agyn.agyn-one.runner", "admin"] }, ["roleAttributes"]],
  ["an authority that is not verified", "cas", { isVerified: false }, ["isVerified"]],
  ["a policy that takes expired certificates", "auth-policies", { primary: { cert: { allowed: true } } }, ["primary"]],
  ["another external id", "identities", { externalId: "spiffe://agyn-one/runner/other" }, ["externalId"]],
  ["a tag that is gone", "services", { tags: { managedBy: "agyn" } }, ["tags"]],
])("%s is seen", (_what, kind, change, fields) => {
  const network = networkOf(wanted).map((one) =>
    one.kind === kind ? { ...one, fields: { ...one.fields, ...change } } : one,
  );
  const differing = compareRecords(wanted, network).filter(({ is }) => is !== "same");
  expect(differing).not.toEqual([]);
  for (const one of differing) expect(one).toMatchObject({ is: "changed", fields });
});

test("a runner that is barred is disabled, and one that is gone leaves three records over", () => {
  const network = networkOf(wanted);
  const barred = wantedRecords({ ...facts, runners: facts.runners.map((runner) => ({ ...runner, isBarred: true })) });
  const gone = wantedRecords({ ...facts, runners: [] });
  const changed = (records: WantedRecord[]) => compareRecords(records, network).filter(({ is }) => is !== "same");

  expect(changed(barred)).toMatchObject([{ is: "changed", fields: ["disabled"] }]);
  expect(changed(gone).map((one) => one.is === "left over" && one.found.kind)).toEqual([
    "identities",
    "services",
    "service-policies",
  ]);
});

test("what refers to a record that is not there yet waits for it", () => {
  const identity = wanted.find(({ kind }) => kind === "identities")!;
  const policy = networkOf(wanted).filter(({ kind }) => kind === "auth-policies");
  expect(resolveFields(identity.fields, [])).toBeUndefined();
  expect(resolveFields(identity.fields, policy)).toMatchObject({ authPolicyId: policy[0]!.id });
});
