import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  LogChunk,
  LogEnd,
  LogPositionSchema,
  PushRequest,
} from "../../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { LogFormatError } from "../../../wire/log-records.ts";
import { AgynError } from "../domain/errors.ts";
import { refuseDeadIdentity } from "../domain/identity.ts";
import { LogStoreError } from "../logs/log-state.ts";
import type { LogStore } from "../logs/log-store.ts";
import type { Sql } from "../store/database.ts";
import { findGeneration } from "../store/identities.ts";
import { getRunner } from "../store/runners.ts";
import { getWorkload } from "../store/workloads.ts";
import type { RunnerCaller } from "./open-session.ts";
import { createOutbox, type Outbox } from "./outbox.ts";

export type PushDeps = { sql: Sql; logStore: LogStore; onBytes: (bytes: number) => void };

type Position = MessageInitShape<typeof LogPositionSchema>;

/** Messages of one stream that are being made durable at one time; a runner that sends more is slowed (I9). */
const messagesInFlight = 16;
/** Positions are small: their number is what bounds them. */
const positionBounds = { messages: 20_000, bytes: Infinity, batchMessages: 1000, batch_bytes: Infinity };
const overloadRetry_ms = 1000;

/** Makes the log chunks of one runner durable, and answers with how far each log is (I4). */
export async function* pushLogs(deps: PushDeps, caller: RunnerCaller, requests: AsyncIterable<PushRequest>) {
  await refuseOldGeneration(deps.sql, caller);
  const positions = createOutbox<Position>(positionBounds);
  const owned = new Map<string, Promise<boolean>>();
  const owns = (workloadId: string, fence: bigint) => {
    const name = `${workloadId} ${fence}`;
    const known = owned.get(name) ?? isPlacedOn(deps.sql, workloadId, fence, caller.runnerId);
    if (owned.size > 10_000) owned.clear();
    owned.set(name, known);
    return known;
  };
  let failure: { cause: unknown } | undefined;
  const reading = (async () => {
    const inFlight = new Set<Promise<void>>();
    for await (const request of requests) {
      if (failure) return;
      const work = takeRequest(deps, owns, request, positions)
        .catch((cause: unknown) => {
          // What failed must end the stream at once, also while the runner says nothing more.
          failure ??= { cause };
          positions.close();
        })
        .finally(() => inFlight.delete(work));
      inFlight.add(work);
      if (inFlight.size >= messagesInFlight) await Promise.race(inFlight);
    }
    await Promise.all(inFlight);
  })();
  reading.then(
    () => positions.close(),
    () => positions.close(),
  );
  for await (const batch of positions.batches()) yield { positions: batch };
  if (failure) throw failure.cause;
  await reading;
}

async function takeRequest(
  deps: PushDeps,
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
    throw new AgynError("LIMIT", `the runner reads too slowly: ${positionBounds.messages} log positions wait for it`);
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
    // Not the runner's fault: the stream ends, and the runner says it again in the next one.
    if (error.reason === "overloaded") throw new AgynError("LIMIT", error.message, { retryAfter_ms: overloadRetry_ms });
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

async function append(deps: PushDeps, chunk: LogChunk): Promise<Position> {
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

async function endLog(deps: PushDeps, { workloadId, fence, lineCount }: LogEnd): Promise<Position> {
  const known = await deps.logStore.nextLine({ workloadId, fence });
  const isWhole = BigInt(known) >= lineCount;
  const nextLine = isWhole ? known : await deps.logStore.nextLine({ workloadId, fence }, "append");
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
