import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { gatewayTrust } from "../../wire/gateway-trust.ts";
import { createCertificate } from "../support/certificate.ts";

const trustOf = (pem: string) => {
  const trust = gatewayTrust(pem);
  if ("error" in trust) throw new Error(trust.error);
  return trust;
};

test("a gateway that shows a certificate known by itself may be reached by any host", async () => {
  const { cert } = await createCertificate("agyn.example.org");
  const shown = new X509Certificate(cert).toLegacyObject();
  expect(trustOf(cert).checkServerIdentity?.("127.0.0.1", shown)).toBeUndefined();
});

test("another certificate must name the host by which it is reached", async () => {
  const known = await createCertificate("agyn.example.org");
  const other = await createCertificate("agyn.example.org");
  const shown = new X509Certificate(other.cert).toLegacyObject();
  const check = trustOf(known.cert).checkServerIdentity!;
  expect(check("127.0.0.1", shown)?.message).toContain("does not match");
  expect(check("agyn.example.org", shown)).toBeUndefined();
});

test("a file without a certificate that can be read is no trust", () => {
  expect(gatewayTrust("hello")).toEqual({ error: expect.stringContaining("holds no certificate in PEM") });
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  expect(gatewayTrust(broken)).toEqual({ error: "holds a certificate that cannot be read" });
});
