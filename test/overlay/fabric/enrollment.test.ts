import { createPublicKey, verify, X509Certificate } from "node:crypto";
import "reflect-metadata";
import { X509Certificates } from "@peculiar/x509";
import { once } from "node:events";
import tls from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startFabric, type Fabric } from "../../support/fabric/fabric.ts";
import { loginAdmin, type Admin } from "./admin.ts";
import { createRequest } from "./foreign-authority.ts";
import { legacyLogin, rest } from "./raw-client.ts";

let fabric: Fabric;
let admin: Admin;

beforeEach(async () => {
  fabric = await startFabric();
  admin = await loginAdmin(fabric);
});
afterEach(() => fabric.close());

interface Offer {
  readonly id: string;
  readonly jwt: string;
  readonly token: string;
}

async function offered(): Promise<Offer & { readonly identityId: string }> {
  const fields = { name: "runner", type: "Device", isAdmin: false, enrollment: { ott: true } };
  const identityId = await admin.create("identities", fields);
  const { enrollment } = (await admin.call(`GET /identities/${identityId}`)).json().data;
  return { ...(enrollment as { readonly ott: Offer }).ott, identityId };
}

async function enroll(token: string, csrPem: string) {
  const headers = { "content-type": "text/plain" };
  return rest(fabric, `POST /edge/client/v1/enroll?method=ott&token=${token}`, { headers, body: csrPem });
}

test("the offer is signed with the key of the controller's TLS certificate, and says where to go", async () => {
  const { jwt, identityId, token } = await offered();
  const socket = tls.connect({ host: "127.0.0.1", port: Number(new URL(fabric.url).port), ca: fabric.caPem });
  await once(socket, "secureConnect");
  const leaf = new X509Certificate(socket.getPeerCertificate().raw);
  socket.destroy();
  const [head = "", claims = "", signature = ""] = jwt.split(".");
  const key = {
    key: createPublicKey(leaf.publicKey.export({ type: "spki", format: "pem" })),
    dsaEncoding: "ieee-p1363",
  } as const;
  expect(verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url"))).toBe(true);
  expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({
    iss: fabric.url,
    sub: identityId,
    jti: token,
    em: "ott",
    ctrls: [`tls:${new URL(fabric.url).host}`],
  });
});

test("the bundle of authorities comes in lines of 64 columns", async () => {
  const headers = { accept: "application/pkcs7-mime" };
  const { text } = await rest(fabric, "GET /.well-known/est/cacerts", { headers });
  expect(Math.max(...text.split("\n").map(({ length }) => length))).toBe(64);
  const [ca] = new X509Certificates(Buffer.from(text, "base64"));
  expect(ca?.toString("pem").trim()).toBe(fabric.caPem.trim());
});

test("a token becomes an identity once", async () => {
  const { token, identityId } = await offered();
  const { csrPem, keyPem } = await createRequest();
  const { text: certPem } = await enroll(token, csrPem);
  expect(new X509Certificate(certPem).subjectAltName).toContain(`/identity/${identityId}`);
  expect(await legacyLogin(fabric, { id: identityId, name: "runner", keyPem, certPem })).toMatch(/^[\w-]{36}$/);
  const again = await enroll(token, csrPem);
  expect([again.status, again.json().error["code"]]).toEqual([400, "INVALID_ENROLLMENT_TOKEN"]);
  expect((await admin.list("enrollments")).total).toBe(0);
});

test("a bad request leaves the token as it was", async () => {
  const { token } = await offered();
  expect((await enroll(token, "no request")).json().error["code"]).toBe("COULD_NOT_PROCESS_CSR");
  const { csrPem: clientCsr } = await createRequest();
  const answer = await rest(fabric, "POST /edge/client/v1/enroll/ott", { body: { token, clientCsr } });
  expect(answer.json().data).toMatchObject({ ca: fabric.caPem });
});

test("an offer expires, can be renewed, and there is one at a time", async () => {
  const { token, id, identityId } = await offered();
  fabric.advance(181 * 60_000);
  const { csrPem } = await createRequest();
  expect((await enroll(token, csrPem)).json().error["code"]).toBe("ENROLLMENT_EXPIRED");
  admin = await loginAdmin(fabric);
  const expiresAt = new Date(Date.now() + 300 * 60_000).toISOString();
  const second = await admin.call("POST /enrollments", { method: "ott", identityId, expiresAt });
  expect([second.status, second.json().error["code"]]).toEqual([409, "ENROLLMENT_EXISTS"]);
  expect((await admin.call(`POST /enrollments/${id}/refresh`, { expiresAt })).status).toBe(200);
  expect((await enroll(token, csrPem)).status).toBe(200);
});

test("re-enrolling takes the authenticator away at once", async () => {
  const runner = await fabric.addIdentity("runner");
  const { id } = fabric.model.authenticators.find(({ identityId }) => identityId === runner.id) ?? expect.fail();
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  expect((await admin.call(`POST /authenticators/${id}/re-enroll`, { expiresAt })).status).toBe(201);
  expect((await rest(fabric, "POST /edge/client/v1/authenticate?method=cert", { as: runner })).status).toBe(401);
  expect((await admin.call(`GET /identities/${runner.id}/enrollments`)).json().data).toMatchObject([{ method: "ott" }]);
});
