import { ConnectError, Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { createWorld, script, until, type Clients } from "../support/world.ts";

const start = async ({ orchestrator }: Clients, idempotencyKey = "") =>
  (await orchestrator.startWorkload({ spec: script("true"), idempotencyKey })).workload!;

const refusalOf = async (clients: Clients, idempotencyKey = "") => {
  const refused: unknown = await start(clients, idempotencyKey).catch(ConnectError.from);
  if (!(refused instanceof ConnectError)) return undefined;
  const [info] = refused.findDetails(ErrorInfoSchema);
  return { code: refused.code, message: refused.rawMessage, reason: info?.reason, limit: info?.metadata["limit"] };
};
const untilRefused = (clients: Clients) =>
  until("the replica refuses", async () => (await refusalOf(clients))?.reason === "LIMIT");

test("an organization starts no more than may wait, and starts again once some of it is stopped", async () => {
  await using world = await createWorld({ pending_maximum_workloads: "2" });
  await world.register("build-1");
  const first = await start(world.admin);
  await start(world.admin);

  expect(await refusalOf(world.admin, "again")).toMatchObject({
    code: Code.ResourceExhausted,
    reason: "LIMIT",
    limit: "pending_maximum_workloads",
    message: expect.stringContaining("2 workloads of the organization wait for a runner, and at most 2 may"),
  });
  await world.admin.orchestrator.stopWorkload({ workload: first.id });
  expect(await refusalOf(world.admin, "again")).toBeUndefined();
});

test("what waits is counted by every replica and by a server that was restarted, and what is placed no longer", async () => {
  await using world = await createWorld({ pending_maximum_workloads: "2" });
  const runner = await world.register("build-1");
  const { admin: elsewhere } = await world.addReplica();
  await start(world.admin);
  await start(elsewhere);

  for (const clients of [world.admin, elsewhere]) await untilRefused(clients);
  await world.restartServer();
  await untilRefused(world.admin);
  world.startRunner(runner);
  for (const clients of [world.admin, elsewhere])
    await until("the replica has room", async () => (await refusalOf(clients)) === undefined);
});
