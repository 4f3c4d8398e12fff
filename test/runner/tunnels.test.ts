import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ConnectSchema } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { TunnelStartSchema } from "../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import type { TunnelRequest } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { createId } from "../../wire/ids.ts";
import { maximumTunnels } from "../../runner/src/tunnels.ts";
import type { ControlPlane, TunnelScript } from "./control-plane.ts";
import type { ScriptedSession } from "./scripted-session.ts";
import { controlPlaneOfTest, runnerOfTest, simulated } from "./world.ts";

/** Tells the runner to open a tunnel. */
function connect(session: ScriptedSession): void {
  session.say({ case: "connect", value: create(ConnectSchema, { tunnelId: createId("tunnel") }) });
}

/** What a runner answers to a start, over a tunnel that it is told to open. */
async function answersTo(
  { script }: ControlPlane,
  session: ScriptedSession,
  of: { workloadId: string; fence: bigint },
): Promise<TunnelRequest["kind"][]> {
  const said: TunnelRequest["kind"][] = [];
  const over = Promise.withResolvers<void>();
  script.tunnel = async function* (requests) {
    said.push((await requests.next()).value.kind);
    const kind = { case: "exec" as const, value: { arguments: ["true"] } };
    yield { case: "start", value: create(TunnelStartSchema, { ...of, kind }) };
    for (let next = await requests.next(); !next.done; next = await requests.next()) said.push(next.value.kind);
    over.resolve();
  };
  connect(session);
  await over.promise;
  return said;
}

test("I2: a runner lets nobody into a workload under a fence that it does not hold it under", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const placement = simulated({ durationMs: 60_000 });
  session.place(placement);
  await session.next("progress", placement.workloadId);
  const { workloadId, fence } = placement;
  expect(await answersTo(controlPlane, session, { workloadId, fence: fence + 1n })).toMatchObject([
    { case: "open", value: expect.stringMatching(/^tnl_/) },
    { case: "refused", value: { reason: "STALE_FENCE" } },
  ]);
  expect(await answersTo(controlPlane, session, { workloadId, fence })).toMatchObject([
    { case: "open" },
    { case: "refused", value: { reason: "STATE", message: expect.stringContaining("no way into a workload") } },
  ]);
  expect(await answersTo(controlPlane, session, { workloadId: createId("workload"), fence })).toMatchObject([
    { case: "open" },
    { case: "refused", value: { reason: "STALE_FENCE" } },
  ]);
});

test("I9: a runner serves so many tunnels at one time, and refuses one more", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const refusal = Promise.withResolvers<TunnelRequest["kind"]>();
  const over = Promise.withResolvers<void>();
  let opened = 0;
  const kind = { case: "exec" as const, value: { arguments: ["true"] } };
  const start = { workloadId: createId("workload"), fence: 1n, kind };
  const hold: TunnelScript = async function* (requests) {
    await requests.next();
    opened += 1;
    if (opened <= maximumTunnels) await over.promise;
    else {
      yield { case: "start", value: create(TunnelStartSchema, start) };
      refusal.resolve((await requests.next()).value.kind);
    }
  };
  controlPlane.script.tunnel = hold;
  for (let tunnel = 0; tunnel <= maximumTunnels; tunnel += 1) connect(session);
  expect(await refusal.promise).toMatchObject({ case: "refused", value: { reason: "LIMIT" } });
  over.resolve();
});

test("a runner that lets nobody in says so, and opens nothing when it is told to", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane, { opensTunnels: false });
  const session = await controlPlane.session(1);
  expect((await session.hello).tunnels).toBe(false);
  let opened = 0;
  controlPlane.script.tunnel = async function* (requests) {
    opened += 1;
    for (let next = await requests.next(); !next.done; next = await requests.next()) yield* [];
  };
  connect(session);
  const placement = simulated({});
  session.place(placement);
  await session.next("completed", placement.workloadId);
  expect(opened).toBe(0);
});
