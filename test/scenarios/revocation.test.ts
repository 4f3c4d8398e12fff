import tls from "node:tls";
import { once } from "node:events";
import { expect, test } from "vitest";
import { isOverOpenZiti, whyTcp } from "../support/network.ts";
import { dialRunnerPlane, enrollClient, outcomeOf, outcomesOf, type RunnerClient } from "../support/runner-client.ts";
import { createWorld, until, untilConnected, type World } from "../support/world.ts";
import { ownTime_ms } from "../support/own-time.ts";

/** Within which a revocation must have reached every live stream, on every server. */
const limit_ms = 1000;

test("bad-08: a revocation ends placements, push and metrics within a second", async () => {
  await using world = await createWorld({ lease: "20s" });
  const { runner, identity } = await enrolled(world);
  const streams = await openStreams(await dialRunnerPlane(identity));

  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "lost laptop" });

  expect(await ownTime_ms(() => streams.ended)).toBeLessThan(limit_ms);
  const [reason] = await streams.ended;
  expect(reason).toBe("IDENTITY_REVOKED");
  expect(await outcomesOf(world.admin, runner.id, "runner.revoke")).toEqual(["ok"]);
});

test("bad-08: a revocation through a second server ends the streams of the first within a second", async () => {
  await using world = await createWorld({ lease: "20s" });
  const replica = await world.addReplica();
  const { runner, identity } = await enrolled(world);
  const streams = await openStreams(await dialRunnerPlane(identity));

  await replica.admin.runners.revokeIdentity({ runner: runner.id, reason: "" });

  expect(await ownTime_ms(() => streams.ended)).toBeLessThan(limit_ms);
});

test("bad-08: a revoked identity gets nothing from a new connection, at either server, nor by resuming TLS", async ({
  skip,
}) => {
  skip(isOverOpenZiti, whyTcp.replica);
  await using world = await createWorld();
  const replica = await world.addReplica();
  const { runner, identity } = await enrolled(world);
  const { port } = world.server.runnerAddress;
  const options = { host: "127.0.0.1", port, ALPNProtocols: ["h2"], rejectUnauthorized: false };
  const before = tls.connect({ ...options, key: identity.keyPem, cert: identity.chainPem });
  await once(before, "secureConnect");
  const session = before.getSession();
  before.destroy();

  const servers = [world.server, replica.server].map((server) => `127.0.0.1:${server.runnerAddress.port}`);
  const clients = await Promise.all(servers.map((one) => dialRunnerPlane(identity, one)));
  const streams = clients.map((client) => client.metrics());
  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "" });
  await Promise.all(streams);
  const resumed = tls.connect({ ...options, ...(session && { session }) });
  await once(resumed, "secureConnect");

  expect(resumed.isSessionReused()).toBe(false);
  resumed.destroy();
  for (const server of servers) {
    const client = await dialRunnerPlane(identity, server);
    const calls = [client.placements(), client.runners.renewIdentity({ csr: new Uint8Array(100) })];
    expect(await Promise.all(calls.map(outcomeOf))).toEqual(["IDENTITY_REVOKED", "IDENTITY_REVOKED"]);
    expect([await client.push(), await client.metrics()]).toEqual(["IDENTITY_REVOKED", "IDENTITY_REVOKED"]);
    client.close();
  }
});

test("a runner whose identity was revoked goes, and a fresh start enrolls it anew at once", async () => {
  await using world = await createWorld({ lease: "20s" });
  const runner = await world.register("build-1");
  const started = world.startRunner(runner);
  await untilConnected(world, runner);

  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "" });
  await until("the runner has gone", () => started.process.exitCode !== null);
  const again = world.startRunner(runner);
  await until("the fresh start is connected", () => again.output().includes("session established"), 40_000);

  expect(started.output()).toContain("was revoked, or the runner deleted; if it is still there, start it again");
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok", "ok"]);
});

async function enrolled(world: World) {
  const runner = await world.register("build-1");
  return { runner, identity: await enrollClient(world.server.gateway, runner.token) };
}

/** The three streams of a session, and the reasons they end for. */
async function openStreams(client: RunnerClient) {
  const session = await client.placements();
  const streams = [client.push(), client.metrics()];
  return { ended: Promise.all([session.ended, ...streams]).finally(() => client.close()) };
}
