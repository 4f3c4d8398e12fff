import { createPublicKey, generateKeyPairSync, sign, X509Certificate, type KeyObject } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { createAuthority, type AuthorityMaterial } from "../../server/src/identity/authority-material.ts";
import { openAuthority, type Authority, type RunnerCertificateOrder } from "../../server/src/identity/authority.ts";
import { readRunnerPeer } from "../../server/src/identity/peer.ts";
import { createCsr, createIdentityKey } from "../../wire/csr.ts";
import { der, derTag } from "../../wire/der.ts";
import { spkiOf, spkiSha256 } from "../../wire/keys.ts";

const now = new Date("2030-01-01T00:00:00.500Z");
const hour_ms = 3_600_000;
const year_ms = 365 * 24 * hour_ms;
const runnerId = "rnr_aaaaaaaaaaaaaaaa";
const identityId = "idn_bbbbbbbbbbbbbbbb";
const organizationId = "org_cccccccccccccccc";
let material: AuthorityMaterial;
let authority: Authority;

beforeAll(async () => {
  material = await createAuthority({ trustDomain: "agyn-one", now });
  authority = openAuthority(material);
});

async function issue(order: Partial<RunnerCertificateOrder> = {}) {
  const issued = await authority.issueRunnerCertificate({
    csr: createCsr(createIdentityKey()),
    scope: { kind: "organization", organizationId },
    runnerId,
    identityId,
    generation: 3,
    now,
    ttl_ms: hour_ms,
    ...order,
  });
  if ("error" in issued) throw new Error(issued.error);
  return { ...issued, leaf: new X509Certificate(issued.chainPem) };
}

/** A request over `key` in DER, signed by `signer`, with a subject that asks for what it should not get. */
function presumptuousCsr(key: KeyObject, signer = key): Uint8Array {
  const name = der(
    derTag.sequence,
    der(derTag.objectId, Buffer.from("550403", "hex")),
    der(0x0c, Buffer.from("control-plane")),
  );
  const subject = der(derTag.sequence, der(0x31, name));
  const content = der(derTag.sequence, der(derTag.integer, Buffer.from([0])), subject, spkiOf(key), der(0xa0));
  const algorithm = der(derTag.sequence, der(derTag.objectId, Buffer.from("2a8648ce3d040302", "hex")));
  const bits = der(derTag.bitString, Buffer.from([0]), sign("sha256", content, signer));
  return der(derTag.sequence, content, algorithm, bits);
}

test("the root lasts ten years and the intermediates five, each able to sign leaves only", () => {
  const [root, controlPlane, runners] = [material.root, material.controlPlane, material.runners].map(
    ({ certPem }) => new X509Certificate(certPem),
  );
  const years = (certificate?: X509Certificate) =>
    ((certificate?.validToDate.getTime() ?? 0) - now.getTime()) / year_ms;
  expect(years(root)).toBeCloseTo(10, 2);
  expect([years(controlPlane), years(runners)]).toEqual([expect.closeTo(5, 2), expect.closeTo(5, 2)]);
  expect([controlPlane?.keyUsage, runners?.keyUsage]).toEqual([["1.3.6.1.5.5.7.3.1"], ["1.3.6.1.5.5.7.3.2"]]);
  expect(spkiSha256(createPublicKey(material.root.certPem))).toEqual(Buffer.from(authority.rootPin));
});

test("a runner certificate is for a client, of the runner, and short", async () => {
  const { leaf, notBefore, notAfter, serial, spkiSha256: fingerprint } = await issue();
  expect(leaf.ca).toBe(false);
  expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  expect(leaf.subjectAltName).toBe(`URI:spiffe://agyn-one/org/${organizationId}/runner/${runnerId}`);
  expect([leaf.validFromDate, leaf.validToDate]).toEqual([notBefore, notAfter]);
  expect(notAfter).toEqual(new Date("2030-01-01T01:00:00Z"));
  expect(notBefore.getTime()).toBeLessThan(now.getTime() - 60_000);
  expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  expect(fingerprint).toBe(spkiSha256(leaf.publicKey).toString("hex"));
});

test("who a peer is reads back from its certificate", async () => {
  const { leaf, serial, spkiSha256: fingerprint, notAfter } = await issue();
  const scope = { kind: "organization", organizationId };
  const peer = { runnerId, scope, identityId, generation: 3, serial, spkiSha256: fingerprint, notAfter };
  expect(readRunnerPeer(leaf, "agyn-one")).toEqual(peer);
  const cluster = await issue({ scope: { kind: "cluster" } });
  expect(readRunnerPeer(cluster.leaf, "agyn-one")).toMatchObject({ scope: { kind: "cluster" } });
});

test("a peer of another trust domain, or that is no runner, is refused", async () => {
  const { leaf } = await issue();
  const controlPlane = await authority.issueControlPlaneLeaf({ now, ttl_ms: hour_ms });
  const error = expect.stringMatching(/not that of a runner/);
  expect(readRunnerPeer(leaf, "agyn-on")).toEqual({ error });
  expect(readRunnerPeer(new X509Certificate(controlPlane.chainPem), "agyn-one")).toEqual({ error });
});

test("the names that a request asks for are not looked at", async () => {
  const { leaf } = await issue({ csr: presumptuousCsr(createIdentityKey()) });
  expect(leaf.subject).toBe(`CN=${runnerId}\nserialNumber=${identityId}.3`);
});

test("a request in PEM is taken as one in DER", async () => {
  const key = createIdentityKey();
  const base64 = Buffer.from(createCsr(key)).toString("base64");
  const csr = `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`;
  expect((await issue({ csr })).spkiSha256).toBe(spkiSha256(key).toString("hex"));
});

const refused: readonly [string, () => Uint8Array | string, RegExp][] = [
  [
    "signed by another key",
    () => presumptuousCsr(createIdentityKey(), createIdentityKey()),
    /not signed by its own key/,
  ],
  ["for a P-384 key", () => presumptuousCsr(generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey), /P-256/],
  ["for an RSA key", () => presumptuousCsr(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey), /P-256/],
  ["that is empty", () => new Uint8Array(), /cannot be read/],
  ["that is text", () => "please", /cannot be read/],
  ["cut off", () => createCsr(createIdentityKey()).subarray(0, 100), /cannot be read/],
  ["of 5,000 bytes", () => new Uint8Array(5000), /longer than 4096 bytes/],
];
test.each(refused)("a request %s is refused", async (_, csr, rule) => {
  await expect(issue({ csr: csr() })).rejects.toThrow(rule);
});

test("a malformed runner or organization gets no certificate", async () => {
  await expect(issue({ runnerId: "rnr_a/../x" })).rejects.toThrow(/not a runner id/);
  await expect(issue({ scope: { kind: "organization", organizationId: "org_" } })).rejects.toThrow(
    /not an organization id/,
  );
});

test("an authority does not open with a key that is not its certificate's", () => {
  const runners = { ...material.runners, keyPem: material.root.keyPem };
  expect(() => openAuthority({ ...material, runners })).toThrow(/the runners CA's key does not belong/);
});

test("an authority does not open with an intermediate of another root", async () => {
  const { controlPlane } = await createAuthority({ trustDomain: "agyn-one", now });
  expect(() => openAuthority({ ...material, controlPlane })).toThrow(/control-plane CA's certificate is not signed/);
});

test.each(["", "Agyn", "agyn one", "agyn/x", "-agyn", "agyn..one", "127.0.0.1", "a".repeat(64), "agyn\0"])(
  "%j is not a trust domain",
  async (trustDomain) => {
    await expect(createAuthority({ trustDomain, now })).rejects.toThrow(/not a trust domain/);
  },
);
