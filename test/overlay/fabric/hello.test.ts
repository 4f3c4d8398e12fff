import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { LoginKind } from "./edge.ts";
import { openEdgeWorld, type EdgeWorld } from "./edge.ts";
import { createForeignAuthority } from "./foreign-authority.ts";
import { oidcLogin, oidcRefresh } from "./oidc-login.ts";
import { connectRaw, hello, legacyLogin, rawFrame } from "./raw-client.ts";

let world: EdgeWorld;
const lookup_ms = 300;

beforeEach(async () => {
  world = await openEdgeWorld({ times: { lookup_ms } });
});
afterEach(() => world.fabric.close());

const tls = ({ keyPem, certPem }: { readonly keyPem: string; readonly certPem: string }) => ({
  key: keyPem,
  cert: certPem,
});

test.each([
  ["1.6.20", undefined],
  ["2.0.3", 1],
] as const)("Hello's answer of %s says version and router, and is numbered -1", async (version, posture) => {
  await using other = (await openEdgeWorld({ version })).fabric;
  const who = await other.addIdentity("who");
  const edge = await connectRaw(other, tls(who));
  const sequence = edge.send(0, { 1002: await legacyLogin(other, who) }, "label");
  const answer = await edge.expect(2);
  expect([answer.sequence, answer.headers[1]?.readUInt32LE(0), answer.headers[2]?.[0]]).toEqual([-1, sequence, 1]);
  expect(answer.headers[4]?.toString()).toMatch(new RegExp(`^v${version}\\|`));
  expect(answer.headers[8]?.toString()).toBe(other.model.edgeRouters.all()[0]?.id);
  expect(answer.headers[1032]?.[0]).toBe(posture);
});

test("a token of another certificate passes Hello, and then the connection ends in silence", async () => {
  const token = await legacyLogin(world.fabric, world.host);
  const edge = await hello(world.fabric, world.caller, token);
  await expect(edge.next()).rejects.toThrow("ended");
  expect(world.fabric.counts.clients).toBe(0);
});

test("a token that nobody knows keeps the connection until the look-up gives up", async () => {
  const begun = Date.now();
  const edge = await hello(world.fabric, world.caller, "no-such-token");
  await edge.ended;
  expect(Date.now() - begun).toBeGreaterThanOrEqual(lookup_ms - 10);
});

test("a router told to refuse tokens does so after Hello, that often", async () => {
  world.fabric.router().refuseTokens(1);
  const refused = await world.enter(world.caller);
  await refused.edge.ended;
  const { edge } = await world.enter(world.caller);
  edge.send(3, { 128: "x" });
  await edge.expect(2);
});

test("a router that has not heard of an authority refuses its first client in words", async () => {
  world.fabric.router().refuseAuthorities(1);
  const token = await legacyLogin(world.fabric, world.caller);
  const edge = await connectRaw(world.fabric, tls(world.caller));
  edge.send(0, { 1002: token }, "label");
  const refused = await edge.expect(2);
  expect([refused.headers[2]?.[0], refused.body.toString()]).toEqual([
    0,
    expect.stringContaining("not issued by a trusted CA"),
  ]);
  await edge.ended;
  await hello(world.fabric, world.caller, token);
});

test("a certificate of nobody's is refused, none at all by TLS, and so is another protocol", async () => {
  const stranger = await (await createForeignAuthority()).issue({ commonName: "x" });
  const edge = await connectRaw(world.fabric, tls(stranger));
  edge.send(0, { 1002: "token" }, "label");
  expect((await edge.expect(2)).headers[2]?.[0]).toBe(0);
  const alone = await connectRaw(world.fabric, {});
  const [alert] = await once(alone.socket, "error");
  expect(String(alert)).toMatch(/alert number 116/);
  await expect(connectRaw(world.fabric, { ...tls(world.caller), ALPNProtocols: ["h2"] })).rejects.toThrow(/alert/i);
  await connectRaw(world.fabric, { ...tls(world.caller), ALPNProtocols: ["ziti-edge"] });
});

test("what is said right after Hello waits for the look-up", async () => {
  const token = await legacyLogin(world.fabric, world.caller);
  const edge = await connectRaw(world.fabric, tls(world.caller));
  edge.socket.write(Buffer.concat([rawFrame(0, 0, { 1002: token }), rawFrame(3, 1, { 128: "x" })]));
  await edge.expect(2);
  expect((await edge.expect(2)).headers[128]?.toString()).toBe("x");
});

test("a fresh token of the session keeps a connection beyond the first one's life; another's does not count", async () => {
  const tokens = await oidcLogin(world.fabric, world.caller);
  const edge = await hello(world.fabric, world.caller, tokens.access);
  world.fabric.advance(20 * 60_000);
  edge.send(60803, {}, (await oidcLogin(world.fabric, world.caller)).access);
  await edge.expect(60802);
  edge.send(60803, {}, (await oidcRefresh(world.fabric, tokens.refresh)).access);
  await edge.expect(60801);
  world.fabric.advance(20 * 60_000);
  edge.send(3, { 128: "x" });
  await edge.expect(2);
  world.fabric.advance(20 * 60_000);
  await edge.ended;
});

test.each<LoginKind>(["legacy", "oidc"])("a probe is answered over %s, or reported", async (login) => {
  const { edge } = await world.enter(world.caller, { login });
  await expect.poll(() => world.fabric.counts.clients).toBe(1);
  const good = world.fabric.router().probe(5000);
  const asked = await edge.expect(3);
  edge.send(2, { 1: asked.sequence, 2: true, 128: asked.headers[128] ?? "" });
  await good;
  await expect(world.fabric.router().probe(50)).rejects.toThrow("did not answer");
});
