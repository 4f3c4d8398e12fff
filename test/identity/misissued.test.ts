import { once } from "node:events";
import { createPrivateKey, generateKeyPairSync, webcrypto, type KeyObject } from "node:crypto";
import { duplexPair } from "node:stream";
import tls from "node:tls";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { beforeAll, expect, test } from "vitest";
import {
  createAuthority,
  type AuthorityMaterial,
  type CaMaterial,
} from "../../server/src/identity/authority-material.ts";
import { openAuthority } from "../../server/src/identity/authority.ts";
import { spkiOf } from "../../wire/keys.ts";

x509.cryptoProvider.set(webcrypto);

const hour_ms = 3_600_000;
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
let material: AuthorityMaterial;

beforeAll(async () => {
  material = await createAuthority({ trustDomain: "agyn-one", now: new Date() });
});

interface Forged {
  readonly ca: CaMaterial;
  readonly usage: x509.ExtendedKeyUsage;
  readonly names: x509.JsonGeneralNames;
  readonly isCa?: boolean;
}

/** What an intermediate whose key was stolen could sign. */
async function forge({ ca, usage, names, isCa = false }: Forged): Promise<{ key: KeyObject; chain: string }> {
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=forged ${isCa ? "intermediate" : "leaf"}`,
    issuer: new x509.X509Certificate(ca.certPem).subjectName,
    notBefore: new Date(Date.now() - hour_ms),
    notAfter: new Date(Date.now() + hour_ms),
    signingAlgorithm: algorithm,
    publicKey: spkiOf(key),
    signingKey: createPrivateKey(ca.keyPem).toCryptoKey(algorithm, false, ["sign"]),
    extensions: [
      new x509.BasicConstraintsExtension(isCa, undefined, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      new x509.SubjectAlternativeNameExtension(names),
    ],
  });
  return { key, chain: `${certificate.toString("pem")}\n${ca.certPem}` };
}

/** OpenSSL's verdict on a certificate that one side of a handshake shows, or `undefined` where it is good. */
async function verdict(
  side: "client" | "server",
  shown: { key: KeyObject; chain: string },
): Promise<string | undefined> {
  const good = await openAuthority(material).issueControlPlaneLeaf({ now: new Date(), ttl_ms: hour_ms });
  const pem = (key: KeyObject) => key.export({ format: "pem", type: "pkcs8" });
  const serverShows = side === "server" ? shown : { key: good.key, chain: good.chainPem };
  const [near, far] = duplexPair();
  const server = tls.createServer({
    key: pem(serverShows.key),
    cert: serverShows.chain,
    ca: material.root.certPem,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const accepted = once(server, "secureConnection");
  server.emit("connection", far);
  const client = tls.connect({
    socket: near,
    ca: material.root.certPem,
    rejectUnauthorized: false,
    ...(side === "client" ? { key: pem(shown.key), cert: shown.chain } : {}),
  });
  const [[socket]] = (await Promise.all([accepted, once(client, "secureConnect")])) as [[tls.TLSSocket], unknown];
  const judge = side === "server" ? client : socket;
  client.destroy();
  // The name of the host plays no part here.
  const fault = String(judge.authorizationError);
  return judge.authorized || fault === "ERR_TLS_CERT_ALTNAME_INVALID" ? undefined : fault;
}

/** Node has no name of its own for it. */
const violatedNameConstraint = "UNSPECIFIED";
const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
const uri = (value: string) => [{ type: "url" as const, value }];

test("the control plane's intermediate makes servers of its trust domain", async () => {
  const names = uri("spiffe://agyn-one/control-plane");
  expect(await verdict("server", await forge({ ca: material.controlPlane, usage: serverAuth, names }))).toBeUndefined();
});

test("the runners' intermediate makes no server", async () => {
  const names = uri("spiffe://agyn-one/control-plane");
  const forged = await forge({ ca: material.runners, usage: serverAuth, names });
  expect(await verdict("server", forged)).toMatch(/PURPOSE/);
});

test("the control plane's intermediate makes no client", async () => {
  const names = uri("spiffe://agyn-one/cluster/runner/rnr_aaaaaaaaaaaaaaaa");
  const forged = await forge({ ca: material.controlPlane, usage: clientAuth, names });
  expect(await verdict("client", forged)).toMatch(/PURPOSE/);
});

test.each([
  ["a URI of another trust domain", uri("spiffe://agyn-two/control-plane")],
  ["a DNS name", [{ type: "dns" as const, value: "example.com" }]],
  ["an IP address", [{ type: "ip" as const, value: "127.0.0.1" }]],
])("an intermediate makes no certificate for %s", async (_, names) => {
  const forged = await forge({ ca: material.controlPlane, usage: serverAuth, names });
  expect(await verdict("server", forged)).toBe(violatedNameConstraint);
});

test("an intermediate makes no further intermediate", async () => {
  const names = uri("spiffe://agyn-one/control-plane");
  const middle = await forge({ ca: material.controlPlane, usage: serverAuth, names, isCa: true });
  const [certPem = ""] = middle.chain.split(/(?<=-----END CERTIFICATE-----\n)/);
  const keyPem = middle.key.export({ format: "pem", type: "pkcs8" }).toString();
  const forged = await forge({ ca: { certPem, keyPem }, usage: serverAuth, names });
  expect(await verdict("server", { ...forged, chain: forged.chain + material.controlPlane.certPem })).toMatch(
    /PATH_LENGTH/,
  );
});
