import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { outcomeOf } from "../support/runner-client.ts";
import type { TcpProxy } from "../support/tcp-proxy.ts";
import { createWorld, until, untilConnected, type RegisteredRunner, type World } from "../support/world.ts";
import { converse, exec, patientSettings, startScript, untilGone } from "./support.ts";
import { ownTime_ms } from "../support/own-time.ts";

let world: World;
let proxy: TcpProxy;
let runner: RegisteredRunner;
let workload: string;

beforeAll(async () => {
  world = await createWorld(patientSettings);
  runner = await world.register("first");
  proxy = await world.openProxy(runner);
  world.startRunner(runner, { slots: 16 });
  await untilConnected(world, runner);
  workload = await startScript(world.admin, "sleep 600");
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await proxy.close();
});

test("a caller gets into a workload through a replica that its runner is not connected to", async () => {
  const { admin: elsewhere } = await world.addReplica();
  const both = [world.admin, elsewhere].map((clients) => exec(clients, workload, ["cat"], "over here"));
  expect(await Promise.all(both)).toMatchObject([{ stdout: "over here" }, { stdout: "over here" }]);
});

test("a link that is cut in the middle ends the caller's stream and the command; the workload goes on", async () => {
  const inside = converse(world.admin, workload, { arguments: ["sh", "-c", "echo $$; exec sleep 600"] });
  await inside.hear("\n");
  proxy.cut();
  await expect(inside.ended).rejects.toThrow("the link to the workload's runner broke");
  proxy.restore();
  await untilGone(inside.stdout().trim());
  const again = await until("the runner is back", () =>
    exec(world.admin, workload, ["echo", "back"]).catch(() => false),
  );
  expect(again).toMatchObject({ stdout: "back\n" });
});

test.each([
  ["on pipes", {}],
  ["on a terminal", { terminal: { columns: 80, rows: 24 } }],
])("I13: who reads nothing of a command %s stops it and not the memory, and nobody else", async (_how, more) => {
  const cutting = new AbortController();
  onTestFinished(() => cutting.abort());
  const endless = "n=0; rm -f progress; while head -c 65536 /dev/urandom; do n=$((n+1)); echo $n >progress; done";
  const start = { arguments: ["sh", "-c", endless], ...more };
  async function* requests() {
    yield { workload, kind: { case: "start" as const, value: start } };
    await new Promise(() => undefined);
  }
  const outputs = world.admin.tunnels.exec(requests(), { signal: cutting.signal })[Symbol.asyncIterator]();
  await outputs.next();
  const progress = async () => Number((await exec(world.admin, workload, ["cat", "progress"])).stdout);
  let last = -1;
  const stopped = await until("it makes no progress any more", async () => {
    const [before, now] = [last, await progress()];
    last = now;
    return now > 0 && now === before && now;
  });
  expect(stopped * 65_536).toBeLessThan(8 * 1024 * 1024);
});

test("I5: revoking a runner's identity ends what goes through it within a second", async () => {
  const inside = converse(world.admin, workload, { arguments: ["sh", "-c", "echo $$; exec sleep 600"] });
  await inside.hear("\n");
  const ending = outcomeOf(inside.ended);
  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "lost laptop" });
  expect(await ownTime_ms(() => ending)).toBeLessThan(1000);
  expect(await ending).toBe("UNAVAILABLE");
  await untilGone(inside.stdout().trim());
});
