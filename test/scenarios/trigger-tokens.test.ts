import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { CauseKind } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { TriggersService } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createWeb } from "../support/triggers.ts";
import { createWorld } from "../support/world.ts";

test("a trigger token starts runs of its project by plain HTTP, and does nothing else", async () => {
  await using world = await createWorld({ file_sources: "true" });
  const { commit } = await createWeb(world);
  const made = await world.admin.triggers.createTriggerToken({ project: "web", name: "deploy" });
  const call = (method: string, body: object) =>
    fetch(`${world.server.gateway}/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${made.token}` },
      body: JSON.stringify(body),
    });

  const start = "agyn.triggers.v1.TriggersService/StartTriggerRun";
  const started = await call(start, { pipeline: "build.yaml", inputs: { who: "me" } });
  const refused = await call("agyn.runs.v1.RunsService/ListRuns", {});

  const { run } = (await started.json()) as { run: { id: string } };
  const found = (await world.admin.runs.getRun({ run: run.id })).run!;
  expect(found).toMatchObject({ commit, projectName: "web", inputs: { who: "me" } });
  expect(found.cause).toMatchObject({ kind: CauseKind.TOKEN, triggerId: made.triggerToken!.id, userId: "" });
  expect(refused.status).toBe(401);
});

test("a trigger token that is revoked or has expired starts nothing", async () => {
  await using world = await createWorld({ file_sources: "true" });
  await createWeb(world);
  const { triggers } = world.admin;
  const names = ["revoked", "expired"];
  const tokens = await Promise.all(names.map((name) => triggers.createTriggerToken({ project: "web", name })));
  await triggers.revokeTriggerToken({ project: "web", triggerToken: "revoked" });
  await world.database.sql`update trigger_token set expire_time = now() where name = 'expired'`;

  for (const { token } of tokens) {
    const client = createClient(TriggersService, world.clientsOf(token).transport);
    await expect(client.startTriggerRun({ pipeline: "build.yaml" })).rejects.toThrow(/expired or was revoked/);
  }
});

test("the tokens of one project start nothing of another, and what is kept of them is a hash", async () => {
  await using world = await createWorld({ file_sources: "true" });
  await createWeb(world);
  await world.admin.projects.createProject({ name: "other" });
  const { token } = await world.admin.triggers.createTriggerToken({ project: "other", name: "deploy" });
  const client = createClient(TriggersService, world.clientsOf(token).transport);
  await expect(client.startTriggerRun({ pipeline: "build.yaml" })).rejects.toThrow(/project other has no source/);
  const rows = await world.database.sql`select * from trigger_token`;
  expect(JSON.stringify(rows)).not.toContain(token.slice(-20));
});
