import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { readTlsMaterial } from "../../server/src/tls-material.ts";
import { createCertificate, temporaryFile } from "../support/certificate.ts";

const readNow = (cert: string, key: string) => () => readTlsMaterial({ cert, key }, new Date());

test("a certificate that is valid, with its key, is read", async () => {
  const { cert, key, certFile, keyFile } = await createCertificate("agyn.example.org");
  expect(readNow(certFile, keyFile)()).toEqual({ cert, key });
});

test.each([
  ["expired", -60, /^tls_cert: \/.*tls\.crt expired at .*Z: give one that is valid$/],
  ["not valid yet", 2, /^tls_cert: \/.*tls\.crt is not valid before .*Z: is this machine's clock right\?$/],
])("a certificate that is %s is refused by its file", async (_, fromDay, fault) => {
  const { certFile, keyFile } = await createCertificate("agyn.example.org", { fromDay });
  expect(readNow(certFile, keyFile)).toThrow(fault);
});

test("files that are not what they should be are refused by name and rule", async () => {
  const { certFile, keyFile } = await createCertificate("agyn.example.org");
  const other = await createCertificate("agyn.example.org");
  const text = temporaryFile("text", "hello\n");

  expect(readNow("/nonexistent.pem", keyFile)).toThrow(
    "tls_cert: there is no file /nonexistent.pem: make it, or name another",
  );
  expect(readNow(certFile, "/")).toThrow("tls_key: / cannot be read (EISDIR)");
  expect(readNow(text, keyFile)).toThrow(`tls_cert: ${text} does not begin with a certificate in PEM`);
  expect(readNow(certFile, text)).toThrow(`tls_key: ${text} holds no private key in PEM`);
  expect(readNow(certFile, other.keyFile)).toThrow(
    `tls_key: ${other.keyFile} is not the key of the first certificate in ${certFile}`,
  );
});

test("a key with a passphrase is refused as such", async () => {
  const { certFile } = await createCertificate("agyn.example.org");
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" },
  });
  const sealed = temporaryFile("tls.key", privateKey);
  expect(readNow(certFile, sealed)).toThrow(`tls_key: ${sealed} is encrypted with a passphrase`);
});
