/** How fast artifacts come and go: by the runner's own code over mutual TLS, and out by HTTP, beside the same file over plain HTTP. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import http from "node:http";
import { randomFillSync } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Transport } from "@connectrpc/connect";
import pino from "pino";
import type { Place } from "../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { TransportGate } from "../runner/src/transport-gate.ts";
import { Uploads } from "../runner/src/uploads.ts";
import { startControlPlane, type ControlPlane } from "./control-plane.ts";
import type { BenchPostgres } from "./database.ts";
import { median, type Figure, type Report } from "./figure.ts";
import type { FileServerReady } from "./file-server.ts";
import { openFleet } from "./fleet.ts";

const mebibyte = 1024 * 1024;
const large_bytes = 128 * mebibyte;
const small_bytes = 64 * 1024;
const rounds = 5;
const smallRounds = 40;

type Placed = { place: Place; transport: Transport };

/** Each figure is the median of its rounds; every file is of other bytes, so that none is known already. */
export async function runArtifactsBench(server: BenchPostgres): Promise<Report> {
  const database = await server.createDatabase("bench_artifacts");
  await using plane = await startControlPlane(database);
  const directory = await mkdtemp(join(tmpdir(), "agyn-bench-artifacts-"));
  try {
    await using plain = await startFileServer(join(directory, "plain"));
    const waiting: ((placed: Placed) => void)[] = [];
    const onPlace = (place: Place, transport: Transport) => waiting.shift()?.({ place, transport });
    const ignore = () => undefined;
    using _fleet = await openFleet(plane, { size: 1, slots: 10, onPlace, onCompleted: ignore, onLost: ignore });
    const place = async (): Promise<Placed> => {
      const { promise, resolve } = Promise.withResolvers<Placed>();
      waiting.push(resolve);
      await plane.runs.startRun({ pipeline: "bench.yaml", content: Buffer.from(keeping) });
      return promise;
    };
    const large = await measure(rounds, large_bytes, { plane, plain, place, directory });
    const small = await measure(smallRounds, small_bytes, { plane, plain, place, directory });
    return {
      figures: [
        figure("an artifact of 128 MiB up, by a runner over mutual TLS, parts and the whole durable", large.up),
        figure("the same down, over HTTP from the user port", large.down),
        figure("an artifact of 64 KiB up", small.up),
        figure("the same down", small.down),
      ],
      limit:
        "up: CPU; the copies that messages of 4 MiB are made of keep the garbage collectors of both sides busier than TLS and hashing, and several parts are written twice. A small one costs three calls and their commits",
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const keeping = "jobs: { keep: { run: x, artifacts: { upload: [{ name: noise, paths: noise }] } } }";

type Pair = { ours: number; plain: number };

function figure(name: string, { ours, plain }: Pair): Figure {
  const baseline = { name: "the same file over node:http, written and fsynced once", value: plain };
  return { name, value: ours, unit: "MiB/s", baseline, ratio: ours / plain };
}

type Bench = { plane: ControlPlane; plain: FileServer; place: () => Promise<Placed>; directory: string };

async function measure(count: number, bytes: number, bench: Bench): Promise<{ up: Pair; down: Pair }> {
  const { plane, plain, place, directory } = bench;
  const rates = { up: [] as number[], down: [] as number[], plainUp: [] as number[], plainDown: [] as number[] };
  const rate = async (work: () => Promise<void>) => {
    const start = performance.now();
    await work();
    return bytes / mebibyte / ((performance.now() - start) / 1000);
  };
  for (let round = 0; round < count; round += 1) {
    const file = join(directory, "noise");
    await writeNoise(file, bytes);
    const placed = await place();
    rates.up.push(await rate(() => upload(placed, directory)));
    rates.plainUp.push(await rate(() => put(plain.url, file)));
    const { artifacts } = await plane.artifacts.listArtifacts({ pageSize: 1 });
    const authorization = `Bearer ${plane.token}`;
    rates.down.push(await rate(() => get(`${plane.gateway}${artifacts[0]!.path}`, bytes, { authorization })));
    rates.plainDown.push(await rate(() => get(plain.url, bytes)));
  }
  return {
    up: { ours: median(rates.up), plain: median(rates.plainUp) },
    down: { ours: median(rates.down), plain: median(rates.plainDown) },
  };
}

async function upload({ place: { workloadId, fence, spec }, transport }: Placed, workspace: string): Promise<void> {
  const abort = new AbortController();
  const gate = new TransportGate();
  const opened = gate.open(transport, abort.signal);
  const uploads = new Uploads({ gate, log: pino({ level: "warn" }) });
  const said: string[] = [];
  await new Promise<void>((onSettled) =>
    uploads.start({
      workloadId,
      fence,
      uploads: spec!.artifacts!.uploads,
      files: { workspace, uid: undefined },
      hideSecrets: (quoted) => quoted,
      system: (text) => said.push(text),
      onSettled,
    }),
  );
  abort.abort();
  await opened.catch(() => undefined);
  if (!said.some((text) => text.endsWith("uploaded")))
    throw new Error(`the artifact was not taken: ${said.join("; ")}`);
}

async function writeNoise(path: string, bytes: number): Promise<void> {
  const file = await open(path, "w");
  const block = Buffer.alloc(Math.min(bytes, mebibyte));
  for (let written = 0; written < bytes; written += block.length) await file.write(randomFillSync(block));
  await file.close();
}

async function put(url: string, file: string): Promise<void> {
  const request = http.request(url, { method: "PUT" });
  const answered = once(request, "response");
  await pipeline(createReadStream(file), request);
  const [response] = (await answered) as [http.IncomingMessage];
  response.resume();
  await once(response, "end");
}

async function get(url: string, bytes: number, headers: Record<string, string> = {}): Promise<void> {
  const request = http.get(url, { headers });
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  let length = 0;
  for await (const piece of response) length += (piece as Buffer).length;
  if (length !== bytes) throw new Error(`${url} answered ${response.statusCode} with ${length} bytes`);
}

interface FileServer extends AsyncDisposable {
  readonly url: string;
}

async function startFileServer(path: string): Promise<FileServer> {
  const child = fork(join(import.meta.dirname, "file-server.ts"), [path]);
  const exited = once(child, "exit");
  const [ready] = (await once(child, "message")) as [FileServerReady];
  return {
    url: ready.url,
    async [Symbol.asyncDispose]() {
      child.disconnect();
      await exited;
    },
  };
}
