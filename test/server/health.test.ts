import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { HealthCheckResponse_ServingStatus as Status, Health } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { createWorld, script, until, untilEnded, type World } from "../support/world.ts";

const page = async (world: World, path: string) => {
  const answer = await fetch(world.server.gateway + path);
  return { status: answer.status, text: await answer.text() };
};

test("the server says that it lives, that it is ready, and what it counts", async () => {
  await using world = await createWorld();
  await world
    .clientsOf("agyn_pat_wrong")
    .runners.listRunners({})
    .catch(() => undefined);

  expect(await page(world, "/healthz")).toEqual({ status: 200, text: "ok\n" });
  expect(await page(world, "/readyz")).toEqual({ status: 200, text: "ready\n" });
  const { text } = await page(world, "/metrics");
  expect(text).toContain('agyn_refusals_total{reason="UNAUTHENTICATED"} 1');
  expect(text).toMatch(/agyn_loop_age_seconds\{loop="lead"\} [0-9.e-]+/);
  expect((await page(world, "/elsewhere")).status).toBe(404);
});

test("what the server counts is for this machine and for cluster admins, unless it is opened to all", async () => {
  await using world = await createWorld();
  const { token: scoped } = await world.admin.tokens.createAccessToken({ name: "reader", scopes: ["runners.read"] });
  const { token: scraper } = await world.admin.tokens.createAccessToken({ name: "scraper", scopes: ["server.read"] });
  const { accessToken: user } = await world.admin.users.createUser({ name: "ann" });
  const far = { "x-forwarded-for": "203.0.113.7" };
  const ask = async (headers: Record<string, string>, path = "/metrics") =>
    (await fetch(world.server.gateway + path, { headers })).status;
  const bearer = (token: string) => ({ ...far, authorization: `Bearer ${token}` });

  expect([await ask({}), await ask(far)]).toEqual([200, 401]);
  expect(await Promise.all(["agyn_pat_wrong", user, scoped, scraper].map((token) => ask(bearer(token))))).toEqual([
    401, 403, 403, 200,
  ]);
  expect([await ask(far, "/healthz"), await ask(far, "/readyz")]).toEqual([200, 200]);
  await world.restartServer({ open_metrics: "true" });
  expect(await ask(far)).toBe(200);
});

test("every open stream is counted by its method, until it ends from whichever side", async () => {
  await using world = await createWorld();
  const open = async (method: string) =>
    new RegExp(`agyn_open_streams\\{method="${method}"\\} (\\d+)`).exec((await page(world, "/metrics")).text)?.[1];
  const runner = await world.register("build-1");
  const running = world.startRunner(runner);
  await until(
    "its streams are open",
    async () =>
      (await open("OrchestratorService/Placements")) === "1" && (await open("RunnersService/Metrics")) === "1",
  );
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("echo begun; sleep 300") });
  const leaving = new AbortController();
  const read = async (messages: AsyncIterable<unknown>) => {
    for await (const _ of messages);
  };
  const { signal } = leaving;
  const followed = read(world.admin.logs.followLog({ workload: workload!.id }));
  const watched = [1, 2].map(() =>
    read(world.admin.orchestrator.watchWorkloads({}, { signal })).catch(() => undefined),
  );
  await until("the watchers are counted", async () => (await open("OrchestratorService/WatchWorkloads")) === "2");
  await until("the follower is counted", async () => (await open("LogsService/FollowLog")) === "1");
  await until("the log is pushed", async () => (await open("LogsService/Push")) === "1");

  leaving.abort();
  await Promise.all(watched);
  await world.admin.orchestrator.stopWorkload({ workload: workload!.id });
  await followed;
  await untilEnded(world.admin, workload!.id);
  await running.kill("SIGTERM");

  const methods = ["OrchestratorService/WatchWorkloads", "LogsService/FollowLog", "LogsService/Push"];
  for (const method of [...methods, "OrchestratorService/Placements", "RunnersService/Metrics"])
    await until(`${method} is no longer open`, async () => (await open(method)) === "0");
});

test("gRPC health needs no credentials and knows the services", async () => {
  await using world = await createWorld();
  const health = createClient(Health, world.clientsOf("").transport);

  expect((await health.check({})).status).toBe(Status.SERVING);
  expect((await health.check({ service: "agyn.runners.v1.RunnersService" })).status).toBe(Status.SERVING);
  await expect(health.check({ service: "no.such.Service" })).rejects.toThrow("there is no service");
});

test("gRPC reflection lists the services and hands out the file of one with its imports", async () => {
  await using world = await createWorld();
  const reflection = createClient(ServerReflection, world.clientsOf("").transport);
  const ask = async function* () {
    yield { messageRequest: { case: "listServices", value: "" } } as const;
    yield { messageRequest: { case: "fileContainingSymbol", value: "agyn.runners.v1.Runner" } } as const;
  };

  const answers = [];
  for await (const { messageResponse } of reflection.serverReflectionInfo(ask())) answers.push(messageResponse);

  const [list, file] = answers;
  expect(list!.case === "listServicesResponse" && list!.value.service.map((one) => one.name)).toContain(
    "agyn.orchestrator.v1.OrchestratorService",
  );
  expect(file!.case === "fileDescriptorResponse" && file!.value.fileDescriptorProto.length).toBeGreaterThan(3);
});
