import { expect, test } from "vitest";
import { Availability } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { outcomesOf } from "../support/runner-client.ts";
import { allOverlays } from "../support/network.ts";
import {
  createWorld,
  readWholeLog,
  script,
  until,
  untilConnected,
  untilEnded,
  type RegisteredRunner,
  type World,
} from "../support/world.ts";

test.each(allOverlays)(
  "an identity is renewed while a job runs, which goes on and loses no line, over %s",
  async (over) => {
    await using world = await createWorld({ certificate_ttl: "4s" }, { over });
    const runner = await world.register("build-1");
    world.startRunner(runner);
    await untilConnected(world, runner);

    const spec = script("for i in $(seq 1 80); do echo line $i; sleep 0.1; done");
    const { workload } = await world.admin.orchestrator.startWorkload({ spec });
    await untilGeneration(world, runner, 3n);
    const lines = await readWholeLog(world.admin, workload!.id);
    const ended = await untilEnded(world.admin, workload!.id);

    expect(lines).toEqual(Array.from({ length: 80 }, (_, index) => `line ${index + 1}`));
    expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, try: 1 });
    expect(await availability(world, runner)).toBe(Availability.ACTIVE);
    expect(new Set(await outcomesOf(world.admin, runner.id, "runner.renew"))).toEqual(new Set(["ok"]));
  },
);

test("a renewal whose reply is lost is asked again with the same key, and locks nobody", async () => {
  await using world = await createWorld({ certificate_ttl: "12s", lease: "60s" });
  const runner = await world.register("build-1");
  await using proxy = await world.openProxy(runner);
  world.startRunner(runner);
  await untilConnected(world, runner);

  proxy.blackhole("down");
  await untilIssued(world, runner, 2);
  proxy.restore();
  await untilGeneration(world, runner, 2n);

  const issued = await world.database.sql`
    select count(*)::int as count from identity_generation g join identity i on i.id = g.identity_id
    where i.runner_id = ${runner.id} and g.generation <= i.used_generation`;
  expect(issued[0]?.["count"]).toBeGreaterThanOrEqual(2);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
  expect(await availability(world, runner)).toBe(Availability.ACTIVE);
});

test("a runner that was off for longer than its certificate lives renews it without its token", async () => {
  await using world = await createWorld({ certificate_ttl: "3s" });
  const runner = await world.register("build-1", { token: { maximumUses: 1 } });
  const first = world.startRunner(runner);
  await untilConnected(world, runner);
  await first.kill("SIGKILL");
  await untilExpired(world, runner);

  world.startRunner(runner);
  await until("the expired identity is renewed", async () => {
    const outcomes = await outcomesOf(world.admin, runner.id, "runner.renew_expired");
    return outcomes.includes("ok");
  });
  await untilConnected(world, runner);

  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
});

test("a runner that was off for too long enrolls anew with its token", async () => {
  await using world = await createWorld({ certificate_ttl: "3s", expired_renewal: "1ms" });
  const runner = await world.register("build-1");
  const enrollments = async () =>
    (await outcomesOf(world.admin, runner.id, "runner.enroll")).filter((outcome) => outcome === "ok").length;
  const first = world.startRunner(runner);
  await untilConnected(world, runner);
  await first.kill("SIGKILL");
  await untilExpired(world, runner);
  const before = await enrollments();

  const again = world.startRunner(runner);
  await until("the runner enrolls anew", async () => (await enrollments()) > before);

  expect(await outcomesOf(world.admin, runner.id, "runner.renew_expired")).toContain("IDENTITY_EXPIRED");
  expect(again.process.exitCode).toBe(null);
});

test("storms of broken links and a restart of the server lock nobody", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  await using proxy = await world.openProxy(runner);
  world.startRunner(runner);
  await untilConnected(world, runner);

  for (let storm = 1; storm <= 5; storm += 1) {
    const before = await sessionNumber(world, runner);
    proxy.cut();
    proxy.restore();
    await until(`session after cut ${storm}`, async () => (await sessionNumber(world, runner)) > before);
  }
  const before = await sessionNumber(world, runner);
  await world.restartServer();
  await until("session after the restart", async () => (await sessionNumber(world, runner)) > before);

  expect(await availability(world, runner)).toBe(Availability.ACTIVE);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
});

async function availability(world: World, runner: RegisteredRunner) {
  return (await world.admin.runners.getRunner({ runner: runner.id })).runner!.availability;
}

async function sessionNumber({ database }: World, runner: RegisteredRunner): Promise<bigint> {
  const [row] = await database.sql<{ number: bigint }[]>`
    select confirmed_session_number as number from runner where id = ${runner.id}`;
  return row!.number;
}

function untilGeneration({ database }: World, runner: RegisteredRunner, generation: bigint) {
  return until(`generation ${generation} is used`, async () => {
    const [row] = await database.sql<{ used: bigint }[]>`
      select used_generation as used from identity where runner_id = ${runner.id} and state = 'current'`;
    return row !== undefined && row.used >= generation;
  });
}

function untilIssued({ database }: World, runner: RegisteredRunner, count: number) {
  return until(`generation ${count} is issued`, async () => {
    const rows = await database.sql`
      select 1 from identity_generation g join identity i on i.id = g.identity_id where i.runner_id = ${runner.id}`;
    return rows.length >= count;
  });
}

function untilExpired({ database }: World, runner: RegisteredRunner) {
  return until("the certificate has expired", async () => {
    const rows = await database.sql`
      select 1 from identity_generation g join identity i on i.id = g.identity_id
      where i.runner_id = ${runner.id} and g.expire_time > now()`;
    return rows.length === 0;
  });
}

test("a runner whose certificate is longer-lived than certificates are now is told to renew it, and does", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  world.startRunner(runner);
  await untilConnected(world, runner);

  await world.restartServer({ certificate_ttl: "8s" });

  const identity = await until("its certificate is a short-lived one", async () => {
    const found = (await world.admin.runners.getRunner({ runner: runner.id })).runner!.identity!;
    return found.generation >= 2n && found;
  });
  expect(Number(identity.expireTime!.seconds) * 1000).toBeLessThan(Date.now() + 9_000);
});

test("a runner that lets its renewal pass is told so", async () => {
  await using world = await createWorld({ certificate_ttl: "4s" });
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const session = await runner.connect();

  await session.next("renewIdentity");

  expect(session.heard.some((one) => one.case === "disconnect")).toBe(false);
});
