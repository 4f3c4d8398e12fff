import { X509Certificate } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { createAuthority } from "../../server/src/identity/authority-material.ts";
import { openAuthority, type Authority, type ControlPlaneLeaf } from "../../server/src/identity/authority.ts";
import {
  signControlPlaneStatement,
  verifyControlPlaneStatement,
  type ReceivedStatement,
} from "../../wire/control-plane-statement.ts";
import { createCsr, createIdentityKey } from "../../wire/csr.ts";

const now = new Date("2030-01-01T00:00:00Z");
const hour_ms = 3_600_000;
const payload = Buffer.from("nonce, runner, endpoints, trust bundle");
let authority: Authority;
let leaf: ControlPlaneLeaf;

beforeAll(async () => {
  authority = openAuthority(await createAuthority({ trustDomain: "agyn-one", now }));
  leaf = await authority.issueControlPlaneLeaf({ now, ttl_ms: hour_ms });
});

function verify(change: Partial<ReceivedStatement> = {}) {
  const signature = signControlPlaneStatement(payload, leaf.key);
  return verifyControlPlaneStatement({
    payload,
    signature,
    chainPem: leaf.fullChainPem,
    rootPin: authority.rootPin,
    now,
    ...change,
  });
}

test("a statement of the control plane proves its trust domain and root", () => {
  expect(verify()).toMatchObject({ trustDomain: "agyn-one", rootPem: authority.trustBundle });
  expect(verify({ trustDomain: "agyn-one" })).toMatchObject({ trustDomain: "agyn-one" });
});

test("bad-07: a valid chain with the signature of something else is refused", () => {
  expect(verify({ payload: Buffer.from("other endpoints") })).toMatchObject({
    error: expect.stringMatching(/changed it/),
  });
  expect(verify({ signature: Buffer.alloc(70) })).toMatchObject({ error: expect.stringMatching(/changed it/) });
});

test("bad-07: another installation with the same name is refused by the pin", async () => {
  const other = openAuthority(await createAuthority({ trustDomain: "agyn-one", now }));
  expect(verify({ rootPin: other.rootPin })).toMatchObject({
    error: expect.stringMatching(/not the one that the service token pins/),
  });
});

test("another trust domain than the known one is refused", () => {
  expect(verify({ trustDomain: "agyn-two" })).toMatchObject({
    error: expect.stringMatching(/of trust domain agyn-one, not agyn-two/),
  });
});

test("bad-07: a runner's certificate does not sign for the control plane", async () => {
  const key = createIdentityKey();
  const order = {
    scope: { kind: "cluster" },
    runnerId: "rnr_aaaaaaaaaaaaaaaa",
    identityId: "idn_aaaaaaaaaaaaaaaa",
  } as const;
  const issued = await authority.issueRunnerCertificate({
    ...order,
    csr: createCsr(key),
    generation: 1,
    now,
    ttl_ms: hour_ms,
  });
  if ("error" in issued) throw new Error(issued.error);
  const chainPem = issued.chainPem + authority.trustBundle;
  expect(verify({ chainPem, signature: signControlPlaneStatement(payload, key) })).toMatchObject({
    error: expect.stringMatching(/not meant for a control plane/),
  });
});

test("bad-07: a leaf beneath another intermediate of the same root is refused", () => {
  const [leafPem] = leaf.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/);
  const chainPem = `${leafPem}${authority.runnersIssuerPem}${authority.trustBundle}`;
  expect(verify({ chainPem })).toMatchObject({ error: expect.stringMatching(/do not sign one another/) });
});

test.each([
  ["no", "", /0 links, not 3/],
  ["garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".repeat(3), /cannot be read/],
  ["a megabyte of", "x".repeat(1 << 20), /longer than 16384 characters/],
])("%s chain is refused", (_, chainPem, error) => {
  expect(verify({ chainPem })).toMatchObject({ error: expect.stringMatching(error) });
});

test("a chain without its root is refused", () => {
  expect(verify({ chainPem: leaf.chainPem })).toMatchObject({ error: expect.stringMatching(/2 links, not 3/) });
});

test.each([
  ["behind", -1, /valid only from .* is this machine's clock right/],
  ["ahead", 1, /expired at .* is this machine's clock right/],
])("bad-06: a clock a day %s is named in the error", (_, days, error) => {
  expect(verify({ now: new Date(now.getTime() + days * 24 * hour_ms) })).toMatchObject({
    error: expect.stringMatching(error),
  });
});

test("a clock a minute behind is borne", () => {
  const certificate = new X509Certificate(leaf.chainPem);
  expect(certificate.validFromDate.getTime()).toBeLessThan(now.getTime() - 60_000);
  expect(verify({ now: new Date(now.getTime() - 60_000) })).toMatchObject({ trustDomain: "agyn-one" });
});
