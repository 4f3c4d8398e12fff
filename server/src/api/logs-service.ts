import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  LogStream,
  type LogChunk as LogChunkProto,
  type LogEnd,
  type LogLineSchema,
  type LogPositionSchema,
  type LogsService,
  type PushRequest,
} from "../../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { decodeChunk, LogFormatError, type LogChunk } from "../../../wire/log-records.ts";
import { AgynError } from "../domain/errors.ts";
import { isTerminal } from "../domain/workload.ts";
import { LogStoreError } from "../logs/log-state.ts";
import type { LogStore } from "../logs/log-store.ts";
import { createOutbox, type Outbox } from "../sessions/outbox.ts";
import { refuseDeadIdentity, type RunnerCaller } from "../sessions/open-session.ts";
import type { Sql } from "../store/database.ts";
import { findGeneration } from "../store/identities.ts";
import { getRunner } from "../store/runners.ts";
import { getWorkload, type WorkloadRow } from "../store/workloads.ts";
import { runnerOf, targetOf } from "./context.ts";

export type LogsDeps = {
  sql: Sql;
  logStore: LogStore;
  /** Settles when the workload gets a placement, or ends, or the signal aborts. */
  untilPlaced: (workloadId: string, signal: AbortSignal) => Promise<void>;
  onBytes: (bytes: number) => void;
};

type Position = MessageInitShape<typeof LogPositionSchema>;
type Line = MessageInitShape<typeof LogLineSchema>;

const streams = { stdout: LogStream.STDOUT, stderr: LogStream.STDERR, system: LogStream.SYSTEM } as const;
const defaultLines = 1000;
const answer_bytes = 4 * 1024 * 1024;
const linesPerMessage = 1000;
/** Messages of one stream that are being made durable at one time; a runner that sends more is slowed (I9). */
const messagesInFlight = 16;
const positionsWaiting = 20_000;

/** Takes in the logs of runners, and shows them. */
export function createLogsService(deps: LogsDeps): ServiceImpl<typeof LogsService> {
  return {
    push: (requests, context) => push(deps, runnerOf(context), requests),
    async readLog(request, context) {
      const { workload } = targetOf(context, "workload");
      const limit = request.limit === 0 ? defaultLines : request.limit;
      if (workload.fence === 0n) return { lines: [], nextLine: 0n, ended: isTerminal(workload.phase) };
      const key = { workloadId: workload.id, fence: workload.fence };
      const tail = request.from.case === "tail" ? request.from.value : undefined;
      const fromLine =
        tail === undefined ? fromLineOf(request.from) : Math.max(0, (await deps.logStore.nextLine(key)) - tail);
      const batch = await deps.logStore.read({ ...key, fromLine, limitLines: tail ?? limit, limitBytes: answer_bytes });
      const lines = linesOf(batch.chunks, fromLine).slice(0, tail ?? limit);
      const last = lines.at(-1);
      const nextLine = last ? last.number! + BigInt(last.droppedLines || 1n) : BigInt(batch.nextLine);
      return { lines, nextLine, ended: batch.isEnd && nextLine >= BigInt(batch.nextLine) };
    },
    followLog: (request, context) => follow(deps, targetOf(context, "workload").workload, request.from, context),
  };
}

function fromLineOf(
  from: { case: "fromLine"; value: bigint } | { case: "tail"; value: number } | { case: undefined; value?: undefined },
): number {
  return from.case === "fromLine" ? Number(from.value) : 0;
}

async function* follow(
  deps: LogsDeps,
  workload: WorkloadRow,
  from: Parameters<typeof fromLineOf>[0],
  context: HandlerContext,
) {
  let current: WorkloadRow | undefined = workload;
  while (current && current.phase === "pending" && !context.signal.aborted) {
    await deps.untilPlaced(workload.id, context.signal);
    current = await getWorkload(deps.sql, workload.id);
  }
  if (!current || current.fence === 0n) return;
  const key = { workloadId: current.id, fence: current.fence };
  const fromLine =
    from.case === "tail" ? Math.max(0, (await deps.logStore.nextLine(key)) - from.value) : fromLineOf(from);
  for await (const batch of deps.logStore.follow({ ...key, fromLine, signal: context.signal })) {
    const lines = linesOf(batch.chunks, fromLine);
    for (let start = 0; start < lines.length; start += linesPerMessage) {
      const part = lines.slice(start, start + linesPerMessage);
      const last = part.at(-1)!;
      yield { lines: part, nextLine: last.number! + BigInt(last.droppedLines || 1n) };
    }
  }
}

function linesOf(chunks: readonly LogChunk[], fromLine: number): Line[] {
  return chunks.flatMap((chunk) =>
    decodeChunk(chunk)
      .filter((record) => record.line >= fromLine || record.kind === "gap")
      .map((record): Line => {
        const common = {
          number: BigInt(record.line),
          time: timestampFromMs(record.time),
          stream: streams[record.stream],
        };
        if (record.kind === "gap")
          return { ...common, droppedLines: BigInt(record.droppedLines), droppedBytes: BigInt(record.droppedBytes) };
        return { ...common, content: record.bytes, continued: record.continued };
      }),
  );
}

async function* push(deps: LogsDeps, caller: RunnerCaller, requests: AsyncIterable<PushRequest>) {
  await refuseOldGeneration(deps.sql, caller);
  const positions = createOutbox<Position>(positionsWaiting, 1000);
  const owned = new Map<string, Promise<boolean>>();
  const owns = (workloadId: string, fence: bigint) => {
    const name = `${workloadId} ${fence}`;
    const known = owned.get(name) ?? isPlacedOn(deps.sql, workloadId, fence, caller.runnerId);
    if (owned.size > 10_000) owned.clear();
    owned.set(name, known);
    return known;
  };
  const reading = (async () => {
    const inFlight = new Set<Promise<void>>();
    for await (const request of requests) {
      const work = takeRequest(deps, owns, request, positions);
      inFlight.add(work);
      void work.finally(() => inFlight.delete(work));
      if (inFlight.size >= messagesInFlight) await Promise.race(inFlight);
    }
    await Promise.all(inFlight);
  })();
  reading.then(
    () => positions.close(),
    () => positions.close(),
  );
  for await (const batch of positions.batches()) yield { positions: batch };
  await reading;
}

async function takeRequest(
  deps: LogsDeps,
  owns: (workloadId: string, fence: bigint) => Promise<boolean>,
  request: PushRequest,
  positions: Outbox<Position>,
): Promise<void> {
  // Chunks of one log are handed over in their order; the store orders their writing.
  const answers = request.chunks.map((chunk) => answerFor(chunk, owns, () => append(deps, chunk)));
  for (const answer of await Promise.all(answers)) answerOrFail(positions, answer);
  for (const end of request.ends) answerOrFail(positions, await answerFor(end, owns, () => endLog(deps, end)));
}

function answerOrFail(positions: Outbox<Position>, answer: Position): void {
  if (!positions.push(answer))
    throw new AgynError("LIMIT", `the runner reads too slowly: ${positionsWaiting} log positions wait for it`);
}

async function answerFor(
  { workloadId, fence }: { workloadId: string; fence: bigint },
  owns: (workloadId: string, fence: bigint) => Promise<boolean>,
  act: () => Promise<Position>,
): Promise<Position> {
  if (!(await owns(workloadId, fence))) {
    return {
      workloadId,
      fence,
      refused: "STALE_FENCE",
      message: "the workload is not placed on this runner under this fence",
    };
  }
  try {
    return await act();
  } catch (error) {
    if (error instanceof LogFormatError)
      return { workloadId, fence, refused: "INVALID_ARGUMENT", message: error.message };
    if (!(error instanceof LogStoreError)) throw error;
    if (error.reason === "out_of_order" && error.expectedLine !== undefined)
      return { workloadId, fence, nextLine: BigInt(error.expectedLine) };
    return {
      workloadId,
      fence,
      refused: error.reason === "deleted" ? "NOT_FOUND" : "INVALID_ARGUMENT",
      message: error.message,
    };
  }
}

async function append(deps: LogsDeps, chunk: LogChunkProto): Promise<Position> {
  const { workloadId, fence, size, data } = chunk;
  const { nextLine } = await deps.logStore.append({
    workloadId,
    fence,
    firstLine: Number(chunk.firstLine),
    count: Number(chunk.count),
    size,
    data,
  });
  deps.onBytes(data.length);
  return { workloadId, fence, nextLine: BigInt(nextLine) };
}

async function endLog(deps: LogsDeps, { workloadId, fence, lineCount }: LogEnd): Promise<Position> {
  const nextLine = await deps.logStore.nextLine({ workloadId, fence });
  if (BigInt(nextLine) < lineCount) return { workloadId, fence, nextLine: BigInt(nextLine) };
  await deps.logStore.end({ workloadId, fence });
  return { workloadId, fence, nextLine: BigInt(nextLine), ended: true };
}

/** A log is taken from the runner on which the workload was placed under this fence, also after the workload's end (I2, I5). */
async function isPlacedOn(sql: Sql, workloadId: string, fence: bigint, runnerId: string): Promise<boolean> {
  const row = await getWorkload(sql, workloadId);
  return row !== undefined && row.fence === fence && row.runnerId === runnerId;
}

async function refuseOldGeneration(sql: Sql, caller: RunnerCaller): Promise<void> {
  const runner = await getRunner(sql, caller.runnerId);
  if (!runner) throw new AgynError("IDENTITY_REVOKED", "the runner was deleted");
  refuseDeadIdentity(runner, await findGeneration(sql, caller.spkiSha256));
}
