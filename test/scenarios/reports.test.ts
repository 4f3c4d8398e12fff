import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ReportBackSchema } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createWeb, createWebhook, forgejoHeaders, post, pushOf } from "../support/triggers.ts";
import { createWorld, until, type World } from "../support/world.ts";

type Received = { call: string; authorization: string; body: Record<string, string> };

/** A forge that keeps what it is told; `refuse` answers with that status so often. */
async function openForge(refuse: { status: number; times: number } = { status: 500, times: 0 }) {
  const received: Received[] = [];
  let refused = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (refused < refuse.times) {
        refused += 1;
        response.writeHead(refuse.status, { location: "http://127.0.0.1:1/" }).end();
        return;
      }
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
      const { authorization = "" } = request.headers;
      received.push({ call: `${request.method} ${request.url}`, authorization, body });
      response.writeHead(201, { "content-type": "application/json" }).end('{"id":77}');
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`;
  return { received, url, [Symbol.asyncDispose]: async () => void server.close() };
}

async function startReported(world: World, apiUrl: string) {
  const { commit } = await createWeb(world, "jobs: { build: { run: 'true' } }");
  const { trigger, secret } = await createWebhook(world, { events: ["pull_request"] });
  const { triggers } = world.admin;
  const config = {
    ...trigger.config!,
    report: create(ReportBackSchema, { apiUrl, commitStatus: true, comment: true }),
  };
  await triggers.updateTrigger({ trigger: trigger.id, config });
  await triggers.setTriggerCredential({ trigger: trigger.id, credential: "forge-token" });
  const repo = { full_name: "acme/web" };
  const pull = { number: 7, head: { ref: "fix", sha: commit, repo }, base: { ref: "main", repo } };
  const body = pushOf(commit, { action: "opened", pull_request: pull });
  await post(world, trigger, { headers: forgejoHeaders(secret, body, "pull_request"), body });
  return commit;
}

test("the forge is told of a run by a status and by one comment that is edited, also after it was away", async () => {
  await using forge = await openForge({ status: 503, times: 2 });
  await using world = await createWorld({ file_sources: "true", outgoing_private: "true" });
  const commit = await startReported(world, forge.url);
  const told = () => forge.received.map(({ call, body }) => `${call} ${body["state"] ?? body["body"]}`);
  const comment = "POST /api/v1/repos/acme/web/issues/7/comments agyn/web/hook: run 1 queued";
  await until("the begin was told", () => told().includes(comment));
  await world.admin.runs.cancelRuns({ filter: { runs: ["1"] } });
  const edited = "PATCH /api/v1/repos/acme/web/issues/comments/77 agyn/web/hook: run 1 cancelled";
  await until("the end was told", () => told().includes(edited));

  const statuses = `POST /api/v1/repos/acme/web/statuses/${commit}`;
  expect(told()).toEqual([`${statuses} pending`, comment, `${statuses} error`, edited]);
  expect(new Set(forge.received.map(({ authorization }) => authorization))).toEqual(new Set(["token forge-token"]));
  await until("nothing is left to tell", async () => {
    return (await world.database.sql`select from report where next_try_time < 'infinity'`).length === 0;
  });
});

test("an attempt that follows is told of too: by the same status, and in the same comment", async () => {
  await using forge = await openForge();
  await using world = await createWorld({ file_sources: "true", outgoing_private: "true" });
  const commit = await startReported(world, forge.url);
  const said = () =>
    forge.received.map(({ call, body }) => `${call.split("/").at(-1)} ${body["body"] ?? body["state"]}`);
  await until("the first begin was told", () => said().includes("comments agyn/web/hook: run 1 queued"));
  await world.admin.runs.cancelRuns({ filter: { runs: ["1"] } });
  await until("the first end was told", () => said().includes("77 agyn/web/hook: run 1 cancelled"));

  await world.admin.runs.rerunRun({ run: "1", scope: { case: "all", value: true } });
  await until("the begin was told", () => said().includes("77 agyn/web/hook: run 1, attempt 2, queued"));
  await world.admin.runs.cancelRuns({ filter: { runs: ["1"] } });

  const last = "77 agyn/web/hook: run 1, attempt 2, cancelled";
  await until("the second end was told", () => said().includes(last));
  expect(said().filter((one) => one.startsWith("comments"))).toHaveLength(1);
  expect(said().slice(-4, -3)).toEqual([`${commit} pending`]);
});

test("bad-54: a forge at an inner address is told nothing, and holds nothing up", async () => {
  await using forge = await openForge();
  await using world = await createWorld({ file_sources: "true" });
  await startReported(world, forge.url);

  await until("it was tried", async () => (await world.database.sql`select from report where tries > 0`).length === 1);
  const { runs } = await world.admin.runs.listRuns({});

  expect(runs).toHaveLength(1);
  expect(forge.received).toEqual([]);
});
