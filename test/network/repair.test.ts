import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openManagement, type Management } from "../../overlay/openziti/management.ts";
import type { NetworkFacts, NetworkRunner } from "../../server/src/domain/overlay-plan.ts";
import { createAuthority } from "../../server/src/identity/authority-material.ts";
import { openAuthority, type Authority } from "../../server/src/identity/authority.ts";
import { findDial } from "../../server/src/network/inspect.ts";
import { repairNetwork } from "../../server/src/network/repair.ts";
import { startFabric, type Fabric } from "../support/fabric/fabric.ts";
import { outcomeOf } from "../support/runner-client.ts";
import { until } from "../support/world.ts";

const signal = new AbortController().signal;
const trustDomain = "agyn-one";
let authority: Authority;
let fabric: Fabric;
let management: Management;

beforeAll(async () => {
  authority = openAuthority(await createAuthority({ trustDomain, now: new Date() }));
});
beforeEach(async () => {
  fabric = await startFabric({ openRouterPolicies: false });
  management = openManagement(fabric.url, fabric.caPem, { kind: "certificate", ...fabric.admin });
});
afterEach(async () => {
  management.close();
  await fabric.close();
});

const runnerOf = (index: number): NetworkRunner => ({
  runnerId: `rnr_${String(index).padStart(16, "a")}`,
  uri: `spiffe://${trustDomain}/runner/${index}`,
  isBarred: false,
});

function factsOf(runners: readonly NetworkRunner[], servicePrefix = ""): NetworkFacts {
  const { runnersIssuerPem, controlPlaneIssuerPem } = authority;
  const controlPlaneUri = `spiffe://${trustDomain}/control-plane`;
  const issuers = { runnersIssuerPem, controlPlaneIssuerPem, controlPlaneUri };
  const more = { identityEnrollment: "ca", servicePrefix, routerRoles: ["#all"] } as const;
  return { trustDomain, ...issuers, ...more, runners };
}

function repair(runners: readonly NetworkRunner[], servicePrefix?: string): Promise<void> {
  const { proveAuthority } = authority;
  return repairNetwork({ management, proveAuthority }, factsOf(runners, servicePrefix), signal);
}

/** How many identities, services, policies of services, policies of logging in, and authorities there are. */
function countRecords() {
  const { identities, services, servicePolicies, authPolicies, cas } = fabric.model;
  return [identities, services, servicePolicies, authPolicies, cas].map((table) => table.all().length);
}

test("an empty network gets all that is ours, with authorities that are verified", async () => {
  const before = countRecords();
  await repair([runnerOf(1), runnerOf(2)]);

  expect(countRecords().map((count, index) => count - before[index]!)).toEqual([3, 4, 7, 1, 2]);
  expect(fabric.model.cas.all().map(({ isVerified }) => isVerified)).toEqual([true, true]);
  expect(fabric.violations).toEqual([]);
});

test("repairing what is as it should be changes nothing", async () => {
  await repair([runnerOf(1)]);
  const before = JSON.stringify(fabric.model.identities.all());
  await repair([runnerOf(1)]);

  expect(JSON.stringify(fabric.model.identities.all())).toBe(before);
  expect(fabric.violations).toEqual([]);
});

test("what somebody changed or removed is mended, and what is ours and no more wanted goes", async () => {
  await repair([runnerOf(1), runnerOf(2)]);
  const { identities, servicePolicies } = fabric.model;
  const identity = identities.find(({ externalId }) => externalId === runnerOf(1).uri)!;
  identities.update(identity, { roleAttributes: ["admins"], isAdmin: true });
  servicePolicies.delete(servicePolicies.find(({ name }) => name.endsWith("runners-dial"))!.id);
  await repair([runnerOf(1)]);

  expect(identities.get(identity.id)).toMatchObject({ isAdmin: false, roleAttributes: { length: 2 } });
  expect(servicePolicies.find(({ name }) => name.endsWith("runners-dial"))).toBeDefined();
  expect(identities.find(({ externalId }) => externalId === runnerOf(2).uri)).toBeUndefined();
  expect(fabric.violations).toEqual([]);
});

test("a runner that is barred is disabled, and enabled again when it is not", async () => {
  const isDisabled = () =>
    fabric.model.identities.find(({ externalId }) => externalId === runnerOf(1).uri)?.disabledUntil !== undefined;
  await repair([{ ...runnerOf(1), isBarred: true }]);
  expect(isDisabled()).toBe(true);
  await repair([runnerOf(1)]);
  expect(isDisabled()).toBe(false);
  expect(fabric.violations).toEqual([]);
});

test("what has not our tags is left alone, and a name that it has is an error that stops nothing else", async () => {
  const theirs = fabric.addService("agyn-control-plane", { encryptionRequired: false });
  const other = fabric.addService("other", { tags: { managedBy: "agyn", agynTrustDomain: "agyn-two" } });

  await expect(repair([runnerOf(1)])).rejects.toThrow(
    "services: agyn-control-plane is there already, and is of somebody else; give this installation a ziti_service_prefix",
  );

  expect(fabric.model.services.get(theirs.id)).toEqual(theirs);
  expect(fabric.model.services.get(other.id)).toEqual(other);
  expect(fabric.model.cas.all().map(({ isVerified }) => isVerified)).toEqual([true, true]);
  expect(fabric.model.identities.find(({ externalId }) => externalId === runnerOf(1).uri)).toBeDefined();
  expect(fabric.violations).toEqual([]);
});

test("another installation's service is not taken over but told of, and a prefix of one's own makes room for both", async () => {
  const tags = { managedBy: "agyn", agynTrustDomain: "agyn-two" };
  const theirs = fabric.addService("agyn-control-plane", { tags });

  await expect(repair([runnerOf(1)])).rejects.toThrow("is of another installation of agyn (trust domain agyn-two)");
  await repair([runnerOf(1)], "one-");

  const names = fabric.model.services.all().map(({ name }) => name);
  expect(names.toSorted()).toEqual([
    "agyn-control-plane",
    "one-agyn-control-plane",
    "one-agyn-enroll",
    `one-runner-${runnerOf(1).runnerId}`,
  ]);
  expect(fabric.model.services.get(theirs.id)).toEqual(theirs);
  expect(fabric.violations).toEqual([]);
});

test("a controller that fails or is away is an error, and what is missing is made when it is back", async () => {
  await repair([]);
  fabric.controller.failNext(503, "UNAVAILABLE", 1);
  await expect(repair([runnerOf(1)])).rejects.toThrow("503 UNAVAILABLE");
  fabric.controller.away();
  await expect(repair([runnerOf(1)])).rejects.toThrow("broke");
  fabric.controller.back();
  await until("it is repaired", () => outcomeOf(repair([runnerOf(1)])).then((outcome) => outcome === "ok"));

  expect(fabric.model.services.find(({ name }) => name === `runner-${runnerOf(1).runnerId}`)).toBeDefined();
  expect(fabric.violations).toEqual([]);
});

test("more records than a controller hands out at once are all seen, and none is made twice", async () => {
  const many = Array.from({ length: 520 }, (_, index) => runnerOf(index));
  await repair(many);
  const before = countRecords();
  await repair(many.slice(0, 510));

  expect(before[1]).toBe(522);
  expect(countRecords()[1]).toBe(512);
  expect(fabric.violations).toEqual([]);
});

test("a look at what one runner needs reads no record of another", async () => {
  await repair([runnerOf(1), runnerOf(2)]);
  const read: string[] = [];
  const list: Management["list"] = async (...asked) => {
    const found = await management.list(...asked);
    read.push(...found.map(({ name }) => name));
    return found;
  };

  const found = await findDial({ ...management, list }, factsOf([runnerOf(1)]), signal);

  expect(found).toMatchObject({
    credential: { isKnown: true },
    identityDifferences: [],
    access: { isDialAllowed: true },
  });
  expect(read.filter((name) => name.includes(runnerOf(2).runnerId))).toEqual([]);
  expect(read.filter((name) => name.includes(runnerOf(1).runnerId))).toHaveLength(3);
});
