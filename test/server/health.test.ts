import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { HealthCheckResponse_ServingStatus as Status, Health } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { createWorld, type World } from "../support/world.ts";

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
