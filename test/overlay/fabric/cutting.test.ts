import { afterEach, describe, expect, test } from "vitest";
import type { FabricVersion } from "../../support/fabric/state.ts";
import { loginAdmin, type Admin } from "./admin.ts";
import { openEdgeWorld, type Connected, type EdgeWorld, type LoginKind } from "./edge.ts";
import { rest, tokenHeader } from "./raw-client.ts";

let world: EdgeWorld;
afterEach(() => world.fabric.close());

/** What an administrator does, to the caller of a live connection. */
const acts = {
  "the identity is disabled": (admin: Admin) =>
    admin.call(`POST /identities/${world.caller.id}/disable`, { durationMinutes: 0 }),
  "the dial policy is removed": (admin: Admin) => admin.call(`DELETE /service-policies/${world.policies.dial}`),
  "the identity is deleted": (admin: Admin) => admin.call(`DELETE /identities/${world.caller.id}`),
  "the authenticator is deleted": (admin: Admin) => admin.call(`DELETE /authenticators/${authenticatorId()}`),
  "the API session is deleted": (admin: Admin) => admin.call(`DELETE /api-sessions/${apiSessionId()}`),
  "the identity is revoked": (admin: Admin) =>
    admin.call("POST /revocations", { id: world.caller.id, type: "IDENTITY" }),
};
type Act = keyof typeof acts;
type Effect = "connection ends" | "circuit closes: dial access lost" | "lives on" | "refused, lives on";

const expectations: [FabricVersion, LoginKind, Partial<Record<Act, Effect>>][] = [
  [
    "2.0.3",
    "legacy",
    {
      "the identity is disabled": "connection ends",
      "the dial policy is removed": "circuit closes: dial access lost",
      "the identity is deleted": "connection ends",
      "the authenticator is deleted": "connection ends",
      "the API session is deleted": "connection ends",
      "the identity is revoked": "lives on",
    },
  ],
  [
    "2.0.3",
    "oidc",
    {
      "the identity is disabled": "connection ends",
      "the dial policy is removed": "circuit closes: dial access lost",
      "the identity is deleted": "connection ends",
      "the authenticator is deleted": "connection ends",
      "the API session is deleted": "refused, lives on",
      "the identity is revoked": "connection ends",
    },
  ],
  [
    "1.6.20",
    "legacy",
    {
      "the identity is disabled": "connection ends",
      "the dial policy is removed": "circuit closes: dial access lost",
      "the API session is deleted": "connection ends",
      "the identity is revoked": "refused, lives on",
    },
  ],
  ["1.6.20", "oidc", { "the identity is disabled": "lives on", "the dial policy is removed": "lives on" }],
];

describe.each(expectations)("%s, %s", (version, login, effects) => {
  test.each(Object.entries(effects) as [Act, Effect][])("when %s: %s", async (act, effect) => {
    world = await openEdgeWorld({ version, times: { cut_ms: 10, revocation_ms: 20 } });
    const caller = await world.connected(await world.bound(), { login });
    const answer = await acts[act](await loginAdmin(world.fabric));
    expect(effect.startsWith("refused") ? [404] : [200, 201]).toContain(answer.status);
    expect(await effectOn(caller)).toBe(effect.replace("refused, ", ""));
  });
});

test("a service session that is deleted closes its circuits in words", async () => {
  world = await openEdgeWorld();
  const caller = await world.connected(await world.bound());
  const session = world.fabric.model.sessions.find(({ type }) => type === "Dial") ?? expect.fail();
  const headers = tokenHeader(caller.token);
  await rest(world.fabric, `DELETE /edge/client/v1/sessions/${session.id}`, { headers });
  expect((await caller.edge.expect(60785)).body.toString()).toBe("session closed");
});

test("a host that may no longer bind loses its terminator, and what runs goes on", async () => {
  world = await openEdgeWorld();
  const host = await world.bound();
  const caller = await world.connected(host);
  await (await loginAdmin(world.fabric)).call(`DELETE /service-policies/${world.policies.bind}`);
  expect((await host.edge.expect(60785)).body.toString()).toBe("bind access lost");
  expect(world.fabric.counts).toMatchObject({ listeners: 0, circuits: 1 });
  expect(await effectOn(caller)).toBe("lives on");
});

test("a disabled identity opens nothing, until it is enabled again", async () => {
  world = await openEdgeWorld();
  const admin = await loginAdmin(world.fabric);
  await admin.call(`POST /identities/${world.caller.id}/disable`, { durationMinutes: 5 });
  const attempt = async () =>
    (await rest(world.fabric, "POST /edge/client/v1/authenticate?method=cert", { as: world.caller })).status;
  expect(await attempt()).toBe(401);
  await admin.call(`POST /identities/${world.caller.id}/enable`, undefined);
  expect(await attempt()).toBe(200);
});

test("a host that does not answer inspections loses its terminator; one that does, keeps it", async () => {
  world = await openEdgeWorld({ times: { inspectAgain_ms: 30, inspectGrace_ms: 100 } });
  const headers = { 1023: true, 1024: true };
  const silent = await world.bound({ headers });
  expect((await silent.edge.expect(60798)).headers[1000]?.readUInt32LE(0)).toBe(1);
  await silent.edge.expect(60800);
  await silent.edge.expect(60798);
  await expect.poll(() => world.fabric.counts.listeners).toBe(0);

  const answering = await world.bound({ headers });
  const { sequence } = await answering.edge.expect(60798);
  answering.edge.send(60799, { 1: sequence, 1000: 1, 1022: Buffer.from([2]) });
  await answering.edge.expect(60800);
  answering.edge.send(3, { 128: "x" });
  await answering.edge.expect(2);
  await world.bound({ headers });
  expect(world.fabric.counts.listeners).toBe(2);
  await expect.poll(() => world.fabric.counts.listeners).toBe(1);
  expect(world.fabric.model.terminators.all()).toHaveLength(1);
});

/** What has become of a caller's connection: it is asked for a sign of life, which it gives in order. */
async function effectOn({ edge }: Connected): Promise<Effect> {
  await world.fabric.settled();
  edge.send(3, { 128: "alive?" });
  const frame = await edge.next().catch(() => undefined);
  if (frame === undefined) return "connection ends";
  return frame.body.toString() === "dial access lost" ? "circuit closes: dial access lost" : "lives on";
}

function authenticatorId(): string {
  const { model } = world.fabric;
  return model.authenticators.find(({ identityId }) => identityId === world.caller.id)?.id ?? "none";
}

function apiSessionId(): string {
  const { model } = world.fabric;
  return model.apiSessions.find(({ identityId }) => identityId === world.caller.id)?.id ?? "none";
}
