import { cp } from "node:fs/promises";
import { expect, test } from "vitest";
import { Availability } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { isOverOpenZiti, whyTcp } from "../support/network.ts";
import { dialRunnerPlane, enrollClient, outcomeOf, outcomesOf } from "../support/runner-client.ts";
import { createIdentityMemory, type StoredIdentity } from "../../runner/src/identity-store.ts";
import { renewIdentity } from "../../runner/src/renew.ts";
import { createCsr, createIdentityKey } from "../../wire/csr.ts";
import { createWorld, until, untilConnected, type RegisteredRunner, type World } from "../support/world.ts";
import { ownTime_ms } from "../support/own-time.ts";

test("I12, bad-05: two live copies of one data directory lock the runner, and an unlocked one enrolls anew", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const original = world.startRunner(runner);
  await untilConnected(world, runner);
  const copied = `${runner.dataDirectory}-copy`;
  await cp(runner.dataDirectory, copied, { recursive: true });

  const copy = world.startRunner(runner, { dataDirectory: copied });
  const locked = await until("the runner is locked", async () => {
    const found = (await world.admin.runners.getRunner({ runner: runner.id })).runner!;
    return found.availability === Availability.LOCKED && found;
  });
  await until("both copies have given up", () => original.process.exitCode !== null && copy.process.exitCode !== null);

  expect(locked.availabilityReason).toMatch(/identity suspected stolen: it echoed session \d+/);
  expect(await outcomesOf(world.admin, runner.id, "runner.lock")).toEqual(["ok"]);
  await world.admin.runners.unlockRunner({ runner: runner.id, reason: "the copy is gone" });
  world.startRunner(runner);
  await untilConnected(world, runner);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok", "ok"]);
});

test("an unlocked runner's old identity stays dead", async ({ skip }) => {
  skip(isOverOpenZiti, whyTcp.refusal);
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const identity = await enrollClient(world.server.gateway, runner.token);
  await lockByClone(world, runner, identity);

  await world.admin.runners.unlockRunner({ runner: runner.id, reason: "" });

  const client = await dialRunnerPlane(identity);
  expect(await outcomeOf(client.placements())).toBe("IDENTITY_REVOKED");
  client.close();
});

test("a locked runner takes no enrollment", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  await lockByClone(world, runner, await enrollClient(world.server.gateway, runner.token));

  expect(await outcomeOf(enrollClient(world.server.gateway, runner.token))).toBe("RUNNER_LOCKED");
});

test("a session whose confirmation was lost, or whose runner crashed before it, locks nobody", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const identity = await enrollClient(world.server.gateway, runner.token);
  const client = await dialRunnerPlane(identity);

  // Never kept; kept and confirmed, but the confirmation lost; kept, then crashed.
  const numbers: bigint[] = [];
  for (const lastSessionNumber of [0n, 0n, 2n, 2n, 4n]) {
    const session = await client.placements({ lastSessionNumber });
    numbers.push(session.welcome.sessionNumber);
    session.leave();
  }

  expect(numbers).toEqual([1n, 2n, 3n, 4n, 5n]);
  expect(await availability(world, runner)).toBe(Availability.ACTIVE);
  client.close();
});

test("a hello that was held up on its way and arrives after a later session locks nobody", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const identity = await enrollClient(world.server.gateway, runner.token);
  const client = await dialRunnerPlane(identity);
  const session = await client.placements({ instanceId: "same-process" });
  session.confirm();
  await untilConfirmed(world, runner, 1n);

  const late = await outcomeOf(client.placements({ instanceId: "same-process", lastSessionNumber: 0n }));

  expect(late).toBe("UNAVAILABLE");
  expect(await availability(world, runner)).toBe(Availability.ACTIVE);
  client.close();
});

test("an old generation that comes after the new one was used locks the runner", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const store = createIdentityMemory();
  const old = await enrollClient(world.server.gateway, runner.token, store);
  const client = await dialRunnerPlane(old);
  const signal = new AbortController().signal;
  const renewed = await renewIdentity({ transport: client.transport, store, signal });
  const cut = client.metrics();
  const current = await dialRunnerPlane(renewed);
  const session = await current.placements();
  await cut;

  const again = await dialRunnerPlane(old);
  const asked = await outcomeOf(again.runners.renewIdentity({ csr: createCsr(createIdentityKey()) }));

  expect([asked, await session.ended]).toEqual(["RUNNER_LOCKED", "RUNNER_LOCKED"]);
  expect(await outcomesOf(world.admin, runner.id, "runner.lock")).toEqual(["ok"]);
  for (const one of [client, current, again]) one.close();
});

test("an old generation reaches neither logs nor metrics once the new one was used", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const store = createIdentityMemory();
  const identity = await enrollClient(world.server.gateway, runner.token, store);
  const old = await dialRunnerPlane(identity);
  const signal = new AbortController().signal;
  const current = await dialRunnerPlane(await renewIdentity({ transport: old.transport, store, signal }));
  const cut = old.metrics();
  await current.placements();
  await cut;

  const again = await dialRunnerPlane(identity);
  expect(await again.push()).toBe("IDENTITY_SUPERSEDED");
  expect(await again.metrics()).toBe("IDENTITY_SUPERSEDED");
  for (const one of [old, current, again]) one.close();
});

test("what an old generation has open ends within a second of the new one's first use, at every server", async ({
  skip,
}) => {
  skip(isOverOpenZiti, whyTcp.replica);
  await using world = await createWorld({ lease: "20s" });
  const replica = await world.addReplica();
  const runner = await world.register("build-1");
  const store = createIdentityMemory();
  const identity = await enrollClient(world.server.gateway, runner.token, store);
  const servers = [world.server, replica.server].map((server) => `127.0.0.1:${server.runnerAddress.port}`);
  const old = await Promise.all(servers.map((server) => dialRunnerPlane(identity, server)));
  const session = await old[0]!.placements();
  const streams = old.flatMap((client) => [client.push(), client.metrics()]);
  const signal = new AbortController().signal;
  const current = await dialRunnerPlane(await renewIdentity({ transport: old[1]!.transport, store, signal }));

  const ending = Promise.all([session.ended, ...streams]);
  const used = await current.placements();

  expect(await ownTime_ms(() => ending)).toBeLessThan(1000);
  expect(await Promise.race([used.ended, world.admin.runners.getRunner({ runner: runner.id })])).toMatchObject({
    runner: {},
  });
  for (const one of [...old, current]) one.close();
});

test("what a superseded identity has open ends within a second of the later enrollment, at every server", async ({
  skip,
}) => {
  skip(isOverOpenZiti, whyTcp.replica);
  await using world = await createWorld({ lease: "20s" });
  const replica = await world.addReplica();
  const runner = await world.register("build-1");
  const identity = await enrollClient(world.server.gateway, runner.token);
  const servers = [world.server, replica.server].map((server) => `127.0.0.1:${server.runnerAddress.port}`);
  const old = await Promise.all(servers.map((server) => dialRunnerPlane(identity, server)));
  const streams = old.flatMap((client) => [client.push(), client.metrics()]);

  const later = await enrollClient(world.server.gateway, runner.token);

  expect(await ownTime_ms(() => Promise.all(streams))).toBeLessThan(1000);
  const client = await dialRunnerPlane(later);
  expect((await client.placements()).welcome.runnerId).toBe(runner.id);
  for (const one of [...old, client]) one.close();
});

test("a session number out of any range is refused, not stored", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const client = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));

  expect(await outcomeOf(client.placements({ lastSessionNumber: 2n ** 63n - 1n }))).toBe("PROTOCOL");
  expect((await client.placements()).welcome.sessionNumber).toBe(1n);
  client.close();
});

async function availability(world: World, runner: RegisteredRunner) {
  return (await world.admin.runners.getRunner({ runner: runner.id })).runner!.availability;
}

async function untilConfirmed({ database }: World, runner: RegisteredRunner, number: bigint): Promise<void> {
  await until(`session ${number} is confirmed`, async () => {
    const [row] = await database.sql`select confirmed_session_number as number from runner where id = ${runner.id}`;
    return row?.["number"] === number;
  });
}

/** Two sessions with one number in hand, the second after the first was confirmed. */
async function lockByClone(world: World, runner: RegisteredRunner, identity: StoredIdentity): Promise<void> {
  const client = await dialRunnerPlane(identity);
  const session = await client.placements({ instanceId: "original" });
  session.confirm();
  await untilConfirmed(world, runner, session.welcome.sessionNumber);
  await until("the copy is found", async () => {
    await outcomeOf(client.placements({ instanceId: "copy" }));
    return (await availability(world, runner)) === Availability.LOCKED;
  });
  client.close();
}
