import { setTimeout as delay } from "node:timers/promises";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MemberRole } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { outcomeOf } from "../support/runner-client.ts";
import { createWorld, script, until, untilEnded, type World } from "../support/world.ts";
import { connectRunner, converse, exec, patientSettings, startScript, untilGone } from "./support.ts";
import { ownTime_ms } from "../support/own-time.ts";

let world: World;
let workload: string;

beforeAll(async () => {
  world = await createWorld({ ...patientSettings, tunnel_idle: "1500ms" });
  await connectRunner(world, "first");
  workload = await startScript(world.admin, "sleep 600", {
    environment: [{ name: "KEY", value: "s3cret-value", secret: true }],
  });
});
afterAll(() => world[Symbol.asyncDispose]());

/** A demand for the runner with this label. */
const only = (value: string) => ({ requirements: [{ key: "only", operator: Operator.IN, values: [value] }] });

async function newUser(name: string, role?: MemberRole): Promise<string> {
  const { accessToken } = await world.admin.users.createUser({ name });
  if (role !== undefined) await world.admin.organizations.setMember({ organization: "default", user: name, role });
  return accessToken;
}

test("a viewer is denied, a stranger finds no such workload, and a token needs the scope", async () => {
  const { token } = await world.admin.tokens.createAccessToken({ name: "narrow", scopes: ["workloads.copy"] });
  const viewer = world.clientsOf(await newUser("vera", MemberRole.VIEWER));
  const stranger = world.clientsOf(await newUser("sam"));
  const outcomes = [viewer, stranger, world.clientsOf(token)].map((one) => outcomeOf(exec(one, workload, ["true"])));
  expect(await Promise.all(outcomes)).toEqual(["PERMISSION_DENIED", "NOT_FOUND", "TOKEN_SCOPE"]);
});

test("there is no way into a workload that has ended, waits, or has no processes, and each is told why", async () => {
  const { orchestrator } = world.admin;
  const ended = await orchestrator.startWorkload({ spec: script("true") });
  await untilEnded(world.admin, ended.workload!.id);
  await world.register("never-started", { labels: { only: "never" } });
  const waiting = await orchestrator.startWorkload({ spec: script("true"), demand: only("never") });
  const simulation = { command: { case: "simulation" as const, value: { duration: { seconds: 600n } } } };
  const simulated = await orchestrator.startWorkload({ spec: simulation, demand: { executor: "simulated" } });
  await until("it runs", async () => {
    const now = await orchestrator.getWorkload({ workload: simulated.workload!.id });
    return now.workload!.startTime !== undefined;
  });
  const messageOf = async (id: string) =>
    exec(world.admin, id, ["true"]).catch((error: unknown) => ConnectError.from(error).rawMessage);
  expect(await messageOf(ended.workload!.id)).toContain("this one is succeeded");
  expect(await messageOf(waiting.workload!.id)).toContain("this one is pending");
  expect(await messageOf(simulated.workload!.id)).toContain("its executor has no way into a workload");
});

test("a runner that is out of reach, or opens no tunnels, is told by name", async () => {
  const registered = await world.register("by-hand", { labels: { only: "by-hand" } });
  await using runner = await createProtocolRunner(world, registered);
  const session = await runner.connect();
  const request = { spec: script("true"), demand: only("by-hand") };
  const { workload: placed } = await world.admin.orchestrator.startWorkload(request);
  const { workloadId, fence } = await session.next("place");
  session.say({ case: "accepted", value: { workloadId, fence } });
  session.say({ case: "progress", value: { workloadId, fence, phase: 4 } });
  const { orchestrator } = world.admin;
  await until("it runs", async () => (await orchestrator.getWorkload({ workload: workloadId })).workload!.phase === 4);
  const messageOf = () =>
    exec(world.admin, placed!.id, ["true"]).catch((error: unknown) => ConnectError.from(error).rawMessage);
  expect(await messageOf()).toBe("its runner by-hand (version 0.0.0) opens no tunnels");
  session.close();
  await until("it is out of reach", async () => (await messageOf()) === "its runner by-hand is out of reach");
});

test("a command that cannot be found, and a path that is not there, are told", async () => {
  expect(await exec(world.admin, workload, ["no-such-program"])).toMatchObject({
    exitCode: 127,
    stderr: "command not found: no-such-program\n",
  });
  const copying = (async () => {
    for await (const _output of world.admin.tunnels.copyFrom({ workload, start: { path: "nowhere" } }));
  })();
  await expect(copying).rejects.toThrow("there is no such file or folder");
});

test("a tunnel through which nothing moves is closed, and its command with it", async () => {
  const idle = converse(world.admin, workload, { arguments: ["sh", "-c", "echo $$; exec sleep 600"] });
  await idle.hear("\n");
  await expect(idle.ended).rejects.toThrow("nothing moved through the tunnel for 1500 ms (tunnel_idle)");
  await untilGone(idle.stdout().trim());
});

test("a caller that goes away takes its command along, also one that reads nothing", async () => {
  const gone = converse(world.admin, workload, { arguments: ["sh", "-c", "echo $$; exec sleep 600"] });
  await gone.hear("\n");
  for (let piece = 0; piece < 100; piece += 1) gone.say({ case: "data", value: new Uint8Array(65_536) });
  gone.cut();
  await untilGone(gone.stdout().trim());
});

test("a revoked token ends what it opened within two seconds", async () => {
  const { accessToken, token } = await world.admin.tokens.createAccessToken({ name: "stolen", scopes: [] });
  const mine = converse(world.clientsOf(token), workload, {
    arguments: ["sh", "-c", "echo $$; while :; do sleep 0.1; echo; done"],
  });
  await mine.hear("\n");
  const ending = outcomeOf(mine.ended);
  await world.admin.tokens.revokeAccessToken({ accessToken: accessToken!.id });
  expect(await ownTime_ms(() => ending)).toBeLessThan(2000);
  expect(await ending).toBe("UNAUTHENTICATED");
  await untilGone(mine.stdout().split("\n")[0]!);
});

test("a revoked token ends what it opened, also for a caller that reads nothing and goes on typing", async () => {
  const { accessToken, token } = await world.admin.tokens.createAccessToken({ name: "deaf", scopes: [] });
  const leaving = new AbortController();
  async function* requests() {
    const command = ["sh", "-c", "echo $$ >deaf; cat /dev/urandom & exec cat >/dev/null"];
    yield { workload, kind: { case: "start" as const, value: { arguments: command } } };
    const kind = { case: "data" as const, value: Buffer.from("more") };
    for (;;) {
      yield { kind: { case: "input" as const, value: { kind } } };
      await delay(50, undefined, { signal: leaving.signal });
    }
  }
  const outputs = world.clientsOf(token).tunnels.exec(requests(), { signal: leaving.signal })[Symbol.asyncIterator]();
  await outputs.next();
  const pid = await until("it runs", async () => (await exec(world.admin, workload, ["cat", "deaf"])).stdout.trim());
  await world.admin.tokens.revokeAccessToken({ accessToken: accessToken!.id });
  expect(await ownTime_ms(() => untilGone(pid))).toBeLessThan(5000);
  leaving.abort();
});

test("a job that puts another sh before the system's copies nothing, and floods nobody", async () => {
  const text =
    "mkdir own; printf '#!/bin/sh\\nexec yes x | tr -d \"\\\\n\"' >sh; chmod +x sh; mv sh own; exec sleep 600";
  const path = { name: "PATH", value: "./own:/usr/bin:/bin" };
  const forger = await startScript(world.admin, text, { environment: [path] });
  await until(
    "its sh is there",
    async () => (await exec(world.admin, forger, ["test", "-e", "own/sh"])).exitCode === 0,
  );
  const copying = (async () => {
    for await (const _output of world.admin.tunnels.copyFrom({ workload: forger, start: { path: "own" } }));
  })();
  await expect(copying).rejects.toThrow("sh or tar is none that can be used");
});

test("a terminal that is resized without end goes on hearing what is typed", async () => {
  const command = ["sh", "-c", "read word; echo heard $word"];
  const resized = converse(world.admin, workload, { arguments: command, terminal: { columns: 80, rows: 24 } });
  for (let rows = 1; rows <= 1000; rows += 1) resized.say({ case: "resize", value: { columns: 80, rows } as never });
  resized.type("it\n");
  await resized.hear("heard it");
  expect(await resized.ended).toMatchObject({ exitCode: 0 });
});

test("each use is on record: who, what, from where, how it ended; without the workload's secrets", async () => {
  await exec(world.admin, workload, ["sh", "-c", "cat >/dev/null; echo five; : s3cret-value; exit 4"], "seven..");
  const scope = { kind: { case: "organization" as const, value: "default" } };
  const eventsOf = async (action: string) =>
    (await world.admin.audit.listAuditEvents({ scope, objectId: workload, action })).auditEvents;
  const [end] = await until("its end is on record", async () => {
    const events = await eventsOf("workload.exec.end");
    return events[0]?.details["exit_code"] === "4" && events;
  });
  const [begin] = await eventsOf("workload.exec");
  const { user } = await world.admin.users.getUser({});
  const said = JSON.stringify(["sh", "-c", "cat >/dev/null; echo five; : ***; exit 4"]);
  expect(begin).toMatchObject({ outcome: "ok", actor: user!.id, source: "127.0.0.1", details: { arguments: said } });
  expect(end).toMatchObject({ outcome: "ok", details: { bytes_to: "7", bytes_from: "5", arguments: said } });
  expect(Number(end!.details["duration_ms"])).toBeGreaterThanOrEqual(0);
  const refused = (await eventsOf("workload.exec.end")).map(({ outcome }) => outcome);
  expect(refused).toEqual(expect.arrayContaining(["LIMIT", "CANCELLED"]));
});

test("when the workload ends its tunnels end, and what they started", async () => {
  const brief = await startScript(world.admin, "until [ -e over ]; do sleep 0.05; done");
  const inside = converse(world.admin, brief, { arguments: ["sh", "-c", "echo $$; exec sleep 600"] });
  await inside.hear("\n");
  // The workload may end before this does.
  await outcomeOf(exec(world.admin, brief, ["touch", "over"]));
  await expect(inside.ended).rejects.toThrow("the workload has ended");
  await untilGone(inside.stdout().trim());
  await untilEnded(world.admin, brief);
});
