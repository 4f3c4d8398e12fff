import { createPrivateKey, X509Certificate } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openManagement, type Management } from "../../overlay/openziti/management.ts";
import { controlPlaneIdentityName, ownTags } from "../../server/src/domain/overlay-plan.ts";
import type { NetworkCredential } from "../../server/src/identity/network-credential.ts";
import { enrollIdentity, findIdentity, type EnrollmentPlace } from "../../server/src/network/enroll-identity.ts";
import { createOwnEnrollment } from "../../server/src/network/own-enrollment.ts";
import { createCsr, createIdentityKey, csrToPem } from "../../wire/csr.ts";
import { startFabric, type Fabric } from "../support/fabric/fabric.ts";

const signal = new AbortController().signal;
const trustDomain = "agyn-one";
const name = controlPlaneIdentityName(trustDomain);
const halfYear_ms = 183 * 86_400_000;
let fabric: Fabric;
let management: Management;
let place: EnrollmentPlace;

beforeEach(async () => {
  fabric = await startFabric();
  management = openManagement(fabric.url, fabric.caPem, { kind: "certificate", ...fabric.admin });
  place = { management, controllerUrl: fabric.url, caPem: fabric.caPem, trustDomain };
});
afterEach(async () => {
  management.close();
  await fabric.close();
});

function addIdentity(tags: object = ownTags(trustDomain)): Promise<string> {
  return management.create("identities", { name, type: "Default", isAdmin: false, tags }, signal);
}

async function enroll(): Promise<X509Certificate> {
  const key = createIdentityKey();
  const certificate = new X509Certificate(
    await enrollIdentity(place, { name, csrPem: csrToPem(createCsr(key)) }, signal),
  );
  expect(certificate.checkPrivateKey(key)).toBe(true);
  return certificate;
}

const authenticators = () =>
  fabric.model.authenticators.all().filter(({ identityId }) => identityId !== fabric.admin.id);

test("an identity enrolls again and again, and what it logged in with before is good no more", async () => {
  await addIdentity();
  const first = await enroll();
  const second = await enroll();

  expect(second.fingerprint256).not.toBe(first.fingerprint256);
  expect(authenticators().map(({ certPem }) => new X509Certificate(certPem!).fingerprint256)).toEqual([
    second.fingerprint256,
  ]);
  expect(fabric.violations).toEqual([]);
});

test("an enrollment that was opened and not redeemed is no obstacle, even where it has run out", async () => {
  const id = await addIdentity();
  await management.openEnrollment(id, new Date(Date.now() + 60_000), signal);
  fabric.advance(120_000);

  await enroll();

  expect(fabric.model.enrollments.all()).toEqual([]);
  expect(fabric.violations).toEqual([]);
});

test("an identity that is not there, or not ours, does not enroll", async () => {
  await expect(enroll()).rejects.toThrow("has no identity");
  await addIdentity({ managedBy: "somebody" });
  await expect(enroll()).rejects.toThrow("has no identity");
  expect(fabric.model.enrollments.all()).toEqual([]);
});

test("the control plane enrolls once, again where its certificate was taken away, and at half of its life", async () => {
  let kept: NetworkCredential | undefined;
  let ahead_ms = 0;
  const store = { load: async () => kept, save: async (next: NetworkCredential) => void (kept = next) };
  const own = createOwnEnrollment({ ...place, store, now: () => new Date(Date.now() + ahead_ms) });
  await expect(own.credential()).rejects.toMatchObject({ reason: "unauthorized" });
  await own.keep(signal);
  expect(kept).toBeUndefined();
  const keepAgain = async () => {
    const before = kept;
    await own.keep(signal);
    return kept === before ? "kept" : "enrolled";
  };

  await addIdentity();
  expect([await keepAgain(), await keepAgain()]).toEqual(["enrolled", "kept"]);
  const { keyPem, certPem } = await own.credential();
  expect(new X509Certificate(certPem).checkPrivateKey(createPrivateKey(keyPem))).toBe(true);

  fabric.model.authenticators.delete(kept!.authenticatorId);
  expect([await keepAgain(), await keepAgain()]).toEqual(["enrolled", "kept"]);
  ahead_ms = halfYear_ms;
  expect(await keepAgain()).toBe("enrolled");
  expect(authenticators()).toMatchObject([{ id: kept!.authenticatorId }]);
  expect(await findIdentity(place, name, signal)).toMatchObject({ name });
  expect(fabric.violations).toEqual([]);
});
