import { generateKeyPairSync, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createIdentityKey } from "../../wire/csr.ts";
import {
  csrSpkiOf,
  enrollmentStatementBytes,
  signEnrollmentStatement,
  verifyEnrollmentStatement,
  type EnrollmentStatement,
} from "../../wire/enrollment-statement.ts";

const token = generateKeyPairSync("ed25519");
const identity = generateKeyPairSync("ec", { namedCurve: "P-256" });
const enroll: EnrollmentStatement = {
  purpose: "enroll",
  trustDomain: "agyn-one",
  runnerId: "rnr_aaaaaaaaaaaaaaaa",
  nonce: randomBytes(32),
  csrSpki: csrSpkiOf(createIdentityKey()),
};
const renew: EnrollmentStatement = { ...enroll, purpose: "renew-expired-identity" };

test("a statement that the token's key signed is believed", () => {
  const signature = signEnrollmentStatement(enroll, token.privateKey);
  expect(verifyEnrollmentStatement(enroll, token.publicKey, signature)).toBe(true);
});

test("a statement that the identity's key signed is believed for renewal", () => {
  const signature = signEnrollmentStatement(renew, identity.privateKey);
  expect(verifyEnrollmentStatement(renew, identity.publicKey, signature)).toBe(true);
});

const changes: readonly [string, Partial<EnrollmentStatement>][] = [
  ["trust domain", { trustDomain: "agyn-two" }],
  ["runner", { runnerId: "rnr_bbbbbbbbbbbbbbbb" }],
  ["nonce", { nonce: randomBytes(32) }],
  ["key of the request", { csrSpki: csrSpkiOf(createIdentityKey()) }],
];
test.each(changes)("bad-07: a signature over another %s is refused", (_, change) => {
  const signature = signEnrollmentStatement(enroll, token.privateKey);
  expect(verifyEnrollmentStatement({ ...enroll, ...change }, token.publicKey, signature)).toBe(false);
});

test("bad-07: bytes moved from one field to the next make another statement", () => {
  const moved = { ...enroll, trustDomain: "agyn-oner", runnerId: enroll.runnerId.slice(1) };
  expect(enrollmentStatementBytes(moved)).not.toEqual(enrollmentStatementBytes(enroll));
});

test("bad-07: a statement for one purpose does not serve the other", () => {
  const signature = signEnrollmentStatement(renew, identity.privateKey);
  expect(verifyEnrollmentStatement(enroll, identity.publicKey, signature)).toBe(false);
  expect(() => signEnrollmentStatement(renew, token.privateKey)).toThrow(/wrong kind of key/);
});

test.each([[0], [1], [63], [64], [1000]])("bad-07: a signature of %i arbitrary bytes is refused", (length) => {
  expect(verifyEnrollmentStatement(enroll, token.publicKey, randomBytes(length))).toBe(false);
  expect(verifyEnrollmentStatement(renew, identity.publicKey, randomBytes(length))).toBe(false);
});
