import { generateKeyPairSync, sign } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { enrollOneTime } from "../../../overlay/openziti/enroll-one-time.ts";
import { loginAdmin } from "../fabric/admin.ts";
import { openZitiWorld } from "./world.ts";

const world = await openZitiWorld();
afterAll(() => world[Symbol.asyncDispose]());
const admin = await loginAdmin(world.fabric);

test("an enrolled identity logs in with the key that was made here", async () => {
  const { jwt, identityId } = await offer("fresh");
  const { controller, ...enrolled } = await enrollOneTime(`${jwt}\n`);
  expect(enrolled.identityId).toBe(identityId);
  const overlay = world.overlay({ controller, credential: () => enrolled });
  expect(await overlay.services()).toMatchObject([{ name: "control-plane", permissions: ["Dial", "Bind"] }]);
  expect(world.fabric.violations).toEqual([]);
});

test("bad-04: a token that was used is refused", async () => {
  const { jwt } = await offer("replayed");
  await enrollOneTime(jwt);
  await expect(enrollOneTime(jwt)).rejects.toMatchObject({
    reason: "unauthorized",
    message: expect.stringContaining("INVALID_ENROLLMENT_TOKEN"),
  });
});

test("bad-07: a token that another signed is refused before anything is asked of the controller", async () => {
  const { jwt } = await offer("forged");
  const [head = "", claims = ""] = jwt.split(".");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signature = sign("sha256", Buffer.from(`${head}.${claims}`), { key: privateKey, dsaEncoding: "ieee-p1363" });
  const forged = `${head}.${claims}.${signature.toString("base64url")}`;
  await expect(enrollOneTime(forged)).rejects.toMatchObject({ reason: "peer_untrusted" });
  await enrollOneTime(jwt);
});

const malformed: readonly [string, (jwt: string) => string, string][] = [
  ["that is empty", () => "", "not a JSON Web Token"],
  ["of 1 MB", () => "x".repeat(1e6), "not a JSON Web Token"],
  ["without a time of expiry", (jwt) => altered(jwt, { exp: undefined }), "exp"],
  ["for another way of enrolling", (jwt) => altered(jwt, { em: "ca" }), "em"],
  ["of a controller without TLS", (jwt) => altered(jwt, { iss: "http://127.0.0.1" }), "iss"],
];
test.each(malformed)("bad-03: a token %s is refused by name", async (_, harm, why) => {
  const { jwt } = await offer(`malformed ${why} ${Math.random()}`);
  await expect(enrollOneTime(harm(jwt))).rejects.toMatchObject({
    reason: "unauthorized",
    message: expect.stringContaining(why),
  });
});

test.each(["none", "HS256", "RS256", "ES384", "constructor"])("bad-06: a token with alg %s is refused", async (alg) => {
  const { jwt } = await offer(`alg ${alg}`);
  const [, claims, signature] = jwt.split(".");
  const head = Buffer.from(JSON.stringify({ alg, typ: "JWT" })).toString("base64url");
  await expect(enrollOneTime(`${head}.${claims}.${signature}`)).rejects.toMatchObject({ reason: "peer_untrusted" });
});

test("a controller that is away is unreachable, and whoever gives up is told so", async () => {
  const { jwt } = await offer("away");
  await expect(enrollOneTime(jwt, { signal: AbortSignal.abort() })).rejects.toMatchObject({ reason: "cancelled" });
  world.fabric.controller.away();
  await expect(enrollOneTime(jwt)).rejects.toMatchObject({ name: "OverlayError" });
  world.fabric.controller.back();
});

async function offer(name: string): Promise<{ identityId: string; jwt: string }> {
  const fields = { name, type: "Device", isAdmin: false, roleAttributes: ["all-of-them"], enrollment: { ott: true } };
  const identityId = await admin.create("identities", fields);
  const { enrollment } = (await admin.call(`GET /identities/${identityId}`)).json().data;
  return { identityId, jwt: (enrollment as { ott: { jwt: string } }).ott.jwt };
}

function altered(jwt: string, change: Record<string, unknown>): string {
  const [head, claims = "", signature] = jwt.split(".");
  const parsed = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<string, unknown>;
  const payload = Buffer.from(JSON.stringify({ ...parsed, ...change })).toString("base64url");
  return `${head}.${payload}.${signature}`;
}
