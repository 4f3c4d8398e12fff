import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { createWorld, script, type World } from "../support/world.ts";

/** Of the usual client, which holds 10 MB and refuses all answers beyond that. */
function roomyClient({ server, adminToken }: World) {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${adminToken}`);
    return next(request);
  };
  const nodeOptions = { maxSessionMemory: 100 };
  return createClient(
    OrchestratorService,
    createGrpcTransport({ baseUrl: server.gateway, interceptors: [authorize], nodeOptions }),
  );
}

test("large workloads that are started at once all reach their runner", async () => {
  await using world = await createWorld({ heartbeat: "1s", lease: "20s" });
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const session = await runner.connect({ hello: { capacity: { slots: 20 } } });
  const environment = Array.from({ length: 7 }, (_, index) => ({ name: `LARGE_${index}`, value: "x".repeat(130_000) }));
  const spec = { ...script("true"), environment };
  const client = roomyClient(world);

  const starts = Array.from({ length: 20 }, async () => (await client.startWorkload({ spec })).workload!.id);
  const started = await Promise.all(starts);
  const placed: string[] = [];
  for (const _ of started) placed.push((await session.next("place")).workloadId);

  expect(placed.toSorted()).toEqual(started.toSorted());
  expect(session.heard.filter((one) => one.case === "disconnect")).toEqual([]);
});
