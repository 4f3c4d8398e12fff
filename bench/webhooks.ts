/** Webhooks that are taken: verified, and written down durably before the answer, beside commits of one row. */
import { createHmac } from "node:crypto";
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { Forge } from "../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { openDatabase } from "../server/src/store/database.ts";
import { startControlPlane, type ControlPlane } from "./control-plane.ts";
import { measureCommit_ms, type BenchDatabase, type BenchPostgres } from "./database.ts";
import { percentile, type Report } from "./figure.ts";

/** Senders at once, each with triggers of its own, since of one trigger's deliveries no more than a thousand may wait. */
const senders = 16;
const triggersEach = 4;
const measured_ms = 5_000;
const rate = 200;
const steady = 1_000;
/** As large as what forges send of a small push. */
const filler = "x".repeat(6_000);

type Hook = { path: string; secret: string };

export async function runWebhooksBench(server: BenchPostgres): Promise<Report> {
  const database = await server.createDatabase("bench_webhooks");
  await using plane = await startControlPlane(database);
  const hooks = await createHooks(plane);
  const commit_ms = await measureCommit_ms(database);
  const commits = await commitsPerSecond(database);
  using agent = Object.assign(new Agent({ keepAlive: true, maxSockets: senders }), {
    [Symbol.dispose]: () => agent.destroy(),
  });
  const post = (hook: Hook) => deliver(agent, `${plane.gateway}${hook.path}`, hook.secret);
  for (const hook of hooks) await post(hook);
  const latencies = await sendSteadily(hooks, post);
  const [cpu_ms, before] = [await plane.cpu_ms(), sent];
  const accepted = await perSecond(async (sender, turn) => post(hooks[sender * triggersEach + (turn % triggersEach)]!));
  const each_ms = ((await plane.cpu_ms()) - cpu_ms) / (sent - before);
  const beside = { name: "one commit of one row, median, ms", value: commit_ms };
  const latency = (name: string, value: number) => ({
    ...{ name, value, unit: "ms", ratio: commit_ms / value },
    baseline: beside,
  });
  return {
    figures: [
      {
        ...{
          name: `webhooks accepted from ${senders} senders`,
          value: accepted,
          unit: "/s",
          ratio: accepted / commits,
        },
        baseline: { name: `commits of one row by ${senders} clients, /s`, value: commits },
      },
      latency(`answer to a webhook at ${rate}/s, p50`, percentile(latencies, 0.5)),
      latency(`answer to a webhook at ${rate}/s, p99`, percentile(latencies, 0.99)),
    ],
    limit: `each is three commits, of which its sender waits for the first: taken, claimed, settled; together ${each_ms.toFixed(1)} ms of the server's processor`,
  };
}

/** Triggers that pass nothing, so that what is worked starts nothing. */
async function createHooks({ projects, triggers }: ControlPlane): Promise<Hook[]> {
  await projects.createProject({ name: "bench", sourceUrl: "https://git.invalid/acme/bench.git" });
  const hooks: Hook[] = [];
  for (let index = 0; index < senders * triggersEach; index++) {
    const webhook = { forge: Forge.GENERIC, events: ["nothing"] };
    const config = { pipeline: "bench.yaml", kind: { case: "webhook", value: webhook } } as const;
    const { trigger, secret } = await triggers.createTrigger({ project: "bench", name: `hook-${index}`, config });
    hooks.push({ path: trigger!.hookPath, secret });
  }
  return hooks;
}

let sent = 0;

/** Answers how long it took, in ms. */
async function deliver(agent: Agent, url: string, secret: string): Promise<number> {
  const body = JSON.stringify({ number: (sent += 1), filler });
  const signature = `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
  const headers = { "content-type": "application/json", "x-event": "bench", "x-signature-256": signature };
  const begin_ms = performance.now();
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const outgoing = request(url, { agent, method: "POST", headers }, (answer) => {
    answer.resume().once("end", () => resolve(answer.statusCode));
  });
  outgoing.once("error", reject).end(body);
  const status = await promise;
  if (status !== 202) throw new Error(`a webhook was answered ${status}`);
  return performance.now() - begin_ms;
}

/** At fixed times, whether or not earlier ones were answered. */
async function sendSteadily(hooks: readonly Hook[], post: (hook: Hook) => Promise<number>): Promise<number[]> {
  const begin_ms = performance.now();
  const calls: Promise<number>[] = [];
  while (calls.length < steady) {
    while (performance.now() < begin_ms + (calls.length * 1000) / rate) await delay(1);
    calls.push(post(hooks[calls.length % hooks.length]!));
  }
  return Promise.all(calls);
}

async function commitsPerSecond({ target }: BenchDatabase): Promise<number> {
  const sql = openDatabase(target, senders);
  await sql`create table bench_payload (number bigint generated always as identity primary key, text text)`;
  try {
    return await perSecond(() => sql`insert into bench_payload (text) values (${filler})`);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** How many calls the senders get through, each one after the other. */
async function perSecond(call: (sender: number, turn: number) => Promise<unknown>): Promise<number> {
  const begin_ms = performance.now();
  let count = 0;
  const send = async (sender: number) => {
    for (let turn = 0; performance.now() - begin_ms < measured_ms; turn++) {
      await call(sender, turn);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: senders }, (_, sender) => send(sender)));
  return (count * 1000) / (performance.now() - begin_ms);
}
