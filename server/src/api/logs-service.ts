import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  LogStream,
  type LogLineSchema,
  type PushResponseSchema,
  type LogsService,
  type PushRequest,
  type ReadLogRequest,
} from "../../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { decodeChunk, type LogChunk } from "../../../wire/log-records.ts";
import { AgynError } from "../domain/errors.ts";
import { isTerminal } from "../domain/workload.ts";
import { LogStoreError } from "../logs/log-state.ts";
import type { LogStore } from "../logs/log-store.ts";
import type { RunnerCaller } from "../sessions/open-session.ts";
import type { Sql } from "../store/database.ts";
import { getWorkload, type WorkloadRow } from "../store/workloads.ts";
import { runnerOf, targetOf } from "./context.ts";

export type LogsDeps = {
  sql: Sql;
  logStore: LogStore;
  /** Settles when the workload gets a placement, or ends, or the signal aborts. */
  untilPlaced: (workloadId: string, signal: AbortSignal) => Promise<void>;
  pushLogs: (
    caller: RunnerCaller,
    requests: AsyncIterable<PushRequest>,
  ) => AsyncIterable<MessageInitShape<typeof PushResponseSchema>>;
};

type Line = MessageInitShape<typeof LogLineSchema>;

const streams = { stdout: LogStream.STDOUT, stderr: LogStream.STDERR, system: LogStream.SYSTEM } as const;
const defaultLines = 1000;
const answer_bytes = 4 * 1024 * 1024;
const linesPerMessage = 1000;
/** How often it is looked whether anybody will still end a log that is followed: not where the workload was lost, or placed anew. */
const abandonedPeriod_ms = 2000;

/** Takes in the logs of runners, and shows them. */
export function createLogsService(deps: LogsDeps): ServiceImpl<typeof LogsService> {
  return {
    push: (requests, context) => deps.pushLogs(runnerOf(context), requests),
    readLog: (request, context) => read(deps, targetOf(context, "workload").workload, request).catch(sayGone),
    async *followLog(request, context) {
      try {
        yield* follow(deps, targetOf(context, "workload").workload, request.from, context);
      } catch (error) {
        sayGone(error);
      }
    },
  };
}

/** A log that is deleted while it is read. */
function sayGone(error: unknown): never {
  if (error instanceof LogStoreError && error.reason === "deleted") throw new AgynError("NOT_FOUND", error.message);
  throw error;
}

async function read(deps: LogsDeps, workload: WorkloadRow, request: ReadLogRequest) {
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
  return { lines, nextLine, ended: (batch.isEnd || isAbandoned(workload)) && nextLine >= BigInt(batch.nextLine) };
}

/** Whether the control plane ended the workload, as when it is lost: then no runner ends its log, though late lines may still come. */
function isAbandoned({ phase, result }: WorkloadRow): boolean {
  return isTerminal(phase) && result === null;
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
  const { signal } = context;
  let current: WorkloadRow | undefined = workload;
  let followed = 0n;
  for (;;) {
    while (current && current.phase === "pending" && !signal.aborted) {
      await deps.untilPlaced(workload.id, signal);
      current = await getWorkload(deps.sql, workload.id);
    }
    // A placement that came to nothing is followed by another under a higher fence, and that one's log is the workload's.
    if (!current || current.fence === followed) return;
    yield* messagesOf(deps, current, followed === 0n ? from : { case: undefined }, signal);
    if (signal.aborted) return;
    followed = current.fence;
    current = await getWorkload(deps.sql, workload.id);
  }
}

/** What comes of the log under a workload's fence. */
async function* messagesOf(
  deps: LogsDeps,
  workload: WorkloadRow,
  from: Parameters<typeof fromLineOf>[0],
  signal: AbortSignal,
) {
  const key = { workloadId: workload.id, fence: workload.fence };
  const fromLine =
    from.case === "tail" ? Math.max(0, (await deps.logStore.nextLine(key)) - from.value) : fromLineOf(from);
  for await (const batch of batchesOf(deps, workload, fromLine, signal)) {
    const lines = linesOf(batch.chunks, fromLine);
    for (let start = 0; start < lines.length; start += linesPerMessage) {
      const part = lines.slice(start, start + linesPerMessage);
      const last = part.at(-1)!;
      yield { lines: part, nextLine: last.number! + BigInt(last.droppedLines || 1n) };
    }
  }
}

/** What comes of a log until it ends; of one that nobody ends, what is there when that is known. */
async function* batchesOf(deps: LogsDeps, workload: WorkloadRow, fromLine: number, signal: AbortSignal) {
  const key = { workloadId: workload.id, fence: workload.fence };
  const abandoned = new AbortController();
  const note = (row: WorkloadRow | undefined) => {
    if (!row || isAbandoned(row) || row.fence !== workload.fence) abandoned.abort();
  };
  // What cannot be read now is read the next time.
  const look = () => void getWorkload(deps.sql, workload.id).then(note, () => undefined);
  const looking = setInterval(look, abandonedPeriod_ms);
  note(workload);
  let next = fromLine;
  try {
    const until = AbortSignal.any([signal, abandoned.signal]);
    for await (const batch of deps.logStore.follow({ ...key, fromLine, signal: until })) {
      yield batch;
      next = batch.nextLine;
    }
  } finally {
    clearInterval(looking);
  }
  while (abandoned.signal.aborted && !signal.aborted) {
    const batch = await deps.logStore.read({ ...key, fromLine: next, limitBytes: answer_bytes });
    if (batch.chunks.length === 0) return;
    yield batch;
    next = batch.nextLine;
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
