import { expect, test } from "vitest";
import { enrollClient, dialRunnerPlane, outcomeOf, outcomesOf } from "../support/runner-client.ts";
import { writeFile } from "node:fs/promises";
import { createWorld, until, untilConnected, type RegisteredRunner, type World } from "../support/world.ts";

test("a runner's replacement waits until the old process leaves, then takes over", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const old = world.startRunner(runner);
  await untilConnected(world, runner);

  const successor = world.startRunner(runner, { dataDirectory: `${runner.dataDirectory}-new` });
  await until("the successor waits", () => successor.output().includes("this one waits until it is gone"));
  expect(old.process.exitCode).toBe(null);
  const before = await sessions(world, runner);
  await old.kill("SIGTERM");
  await until("the successor is connected", async () => (await sessions(world, runner)) > before);

  const outcomes = await outcomesOf(world.admin, runner.id, "runner.enroll");
  expect([outcomes.at(0), outcomes.at(-1)]).toEqual(["ok", "ok"]);
  expect(new Set(outcomes.slice(1, -1))).toEqual(new Set(["RUNNER_HAS_LIVE_SESSION"]));
});

test("whoever stole a token gets nothing while its owner is connected, nor in the gap of a broken link", async () => {
  await using world = await createWorld({ lease: "10s" });
  const runner = await world.register("build-1");
  const owner = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));
  const session = await owner.placements();
  session.confirm();

  const whileConnected = await outcomeOf(enrollClient(world.server.gateway, runner.token));
  owner.close();
  await until("the session has ended", async () => (await liveReplica(world, runner)) === null);
  const inTheGap = await outcomeOf(enrollClient(world.server.gateway, runner.token));

  expect([whileConnected, inTheGap]).toEqual(["RUNNER_HAS_LIVE_SESSION", "RUNNER_HAS_LIVE_SESSION"]);
  const outcomes = await outcomesOf(world.admin, runner.id, "runner.enroll");
  expect(outcomes).toEqual(["ok", "RUNNER_HAS_LIVE_SESSION", "RUNNER_HAS_LIVE_SESSION"]);
});

test("a thief that enrolls while the owner is away supersedes it; the owner is told, an event says so", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const owner = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));
  const thief = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));
  await thief.placements();

  const told = [await outcomeOf(owner.placements()), await outcomeOf(owner.placements())];

  expect(told).toEqual(["IDENTITY_SUPERSEDED", "IDENTITY_SUPERSEDED"]);
  expect(await outcomesOf(world.admin, runner.id, "runner.connect")).toEqual(["IDENTITY_SUPERSEDED"]);
  for (const one of [owner, thief]) one.close();
});

test("an owner that is cut off as it is superseded, and does not come again, has its event too", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const owner = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));
  const cut = owner.metrics();

  await enrollClient(world.server.gateway, runner.token);
  await cut;

  expect(await outcomesOf(world.admin, runner.id, "runner.connect")).toEqual(["IDENTITY_SUPERSEDED"]);
  owner.close();
});

test("rotating the token and revoking the identity throw a thief out and let the owner back in", async () => {
  await using world = await createWorld({ lease: "20s" });
  const runner = await world.register("build-1");
  const thief = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));
  const stolen = await thief.placements();
  const owner = world.startRunner(runner);
  await until("the owner waits", () => owner.output().includes("this one waits until it is gone"));
  await owner.kill("SIGTERM");

  const { serviceToken } = await world.admin.runners.rotateServiceToken({ runner: runner.id });
  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "token stolen" });
  await writeFile(runner.tokenFile, serviceToken);
  world.startRunner(runner);

  expect(await stolen.ended).toBe("IDENTITY_REVOKED");
  await untilConnected(world, runner);
  expect(await outcomeOf(enrollClient(world.server.gateway, runner.token))).toBe("SERVICE_TOKEN_INVALID");
  thief.close();
});

async function sessions({ database }: World, runner: RegisteredRunner): Promise<bigint> {
  const [row] = await database.sql<{ number: bigint }[]>`
    select session_number as number from runner where id = ${runner.id}`;
  return row!.number;
}

async function liveReplica({ database }: World, runner: RegisteredRunner): Promise<string | null> {
  const [row] = await database.sql<{ replica: string | null }[]>`
    select session_replica_id as replica from runner where id = ${runner.id}`;
  return row!.replica;
}
