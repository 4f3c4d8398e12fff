/**
 * Sends what is kept of the workspaces of workloads that have ended. Their results are known before and do not depend on it:
 * an upload that fails is an artifact that failed, and a line in the log.
 *
 * 1. What is sent carries the fence of its workload (I2).
 * 2. After a cut link or a restart, sending goes on where the control plane says; the digest of the whole decides (I4).
 * 3. One artifact of a workload at a time, and of few workloads at once (I9).
 */
import { createHash } from "node:crypto";
import { pipeline, Readable } from "node:stream";
import { createZstdCompress } from "node:zlib";
import { createClient, type Client } from "@connectrpc/connect";
import type { Logger } from "pino";
import {
  ArtifactKind,
  ArtifactsService,
  ArtifactState,
} from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { packTar } from "../../wire/tar.ts";
import { backoffMs, pause } from "./backoff.ts";
import { collectFiles, readFound, type Found } from "./executors/collect-files.ts";
import type { ArtifactUpload, JobFiles } from "./executors/executor.ts";
import { holdingKey, logFields, type HoldingRef } from "./holding.ts";
import { cutText } from "./messages.ts";
import { messageOf, refusalOf } from "./refusal.ts";
import type { TransportGate } from "./transport-gate.ts";

/** Of one message. */
const partBytes = 4 * 1024 * 1024;
/** Workloads whose artifacts are sent at one time. */
const maximumAtOnce = 4;
/** How often an artifact is sent from its beginning because other bytes arrived than were meant. */
const maximumRestarts = 3;
const maximumMessageBytes = 4096;

export type UploadJob = HoldingRef & {
  uploads: readonly ArtifactUpload[];
  /** Where the workload ran; `undefined` where its executor has no files. */
  files: JobFiles | undefined;
  /** What is quoted of the workload, such as the name of a file, without its secrets (I6). */
  hideSecrets: (quoted: string) => string;
  /** A line of the runner's own in the workload's log. */
  system: (text: string) => void;
  /** Nothing is left to send. */
  onSettled: () => void;
};

type Call = { client: Client<typeof ArtifactsService>; signal: AbortSignal };
/** `onProgress`: more of it is with the control plane. */
type SendCall = Call & { onProgress: () => void };

export class Uploads {
  readonly #gate: TransportGate;
  readonly #log: Logger;
  readonly #jobs = new Map<string, AbortController>();
  readonly #waiting: (() => void)[] = [];
  #active = 0;

  constructor({ gate, log }: { gate: TransportGate; log: Logger }) {
    this.#gate = gate;
    this.#log = log;
  }

  /** Sends the artifacts of a workload that has ended. */
  start(job: UploadJob): void {
    if (this.#jobs.has(holdingKey(job))) return;
    const controller = new AbortController();
    this.#jobs.set(holdingKey(job), controller);
    void this.#run(job, controller.signal).then(() => {
      this.#jobs.delete(holdingKey(job));
      if (!controller.signal.aborted) job.onSettled();
    });
  }

  /** Nobody wants them any more. */
  cancel(of: HoldingRef): void {
    this.#jobs.get(holdingKey(of))?.abort();
  }

  /** Ends everything; what was not sent is sent after the next start. */
  close(): void {
    for (const controller of this.#jobs.values()) controller.abort();
  }

  async #run(job: UploadJob, signal: AbortSignal): Promise<void> {
    if (this.#active >= maximumAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#active += 1;
    try {
      for (const upload of job.uploads) if (!signal.aborted) await this.#keep(job, upload, signal);
    } finally {
      this.#active -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Tries until the artifact is complete, or there is none for good. */
  async #keep(job: UploadJob, upload: ArtifactUpload, signal: AbortSignal): Promise<void> {
    let restarts = 0;
    for (let failures = 0; !signal.aborted;) {
      try {
        const client = createClient(ArtifactsService, await this.#gate.get(signal));
        // Whoever gets on is not made to wait as long as who does not.
        return await send(job, upload, { client, signal, onProgress: () => (failures = 0) });
      } catch (error) {
        if (signal.aborted) return;
        const { reason, message: words } = refusalOf(error);
        const message = job.hideSecrets(words);
        this.#log.warn({ ...logFields(job), artifact: upload.name, reason, error: message }, "artifact not sent");
        if (reason === "STALE_FENCE" || reason === "NOT_FOUND") {
          return job.system(`artifact ${upload.name}: not kept: ${message}`);
        }
        if (reason === "INVALID_ARGUMENT") restarts += 1;
        const isFinal =
          (reason === "LIMIT" && refusalOf(error).retryAfterMs === undefined) || restarts > maximumRestarts;
        failures += 1;
        if (isFinal && (await this.#giveUp(job, { upload, message }, signal))) return;
        await pause(backoffMs(failures, Math.random()), signal);
      }
    }
  }

  /** Answers whether the control plane knows. */
  async #giveUp(
    job: UploadJob,
    { upload, message }: { upload: ArtifactUpload; message: string },
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      const client = createClient(ArtifactsService, await this.#gate.get(signal));
      await fail(job, { name: upload.name, message }, { client, signal });
      return true;
    } catch {
      return false;
    }
  }
}

/** Sends one artifact, from where the control plane has it. */
async function send(job: UploadJob, upload: ArtifactUpload, { client, signal, onProgress }: SendCall): Promise<void> {
  const { workloadId, fence, files } = job;
  const of = { workloadId, fence, name: upload.name };
  let found: Found;
  try {
    if (files === undefined) throw new Error("its executor keeps no files");
    found = await collectFiles(files, upload.paths);
  } catch (error) {
    const { state } = await client.createArtifact({ ...of, kind: ArtifactKind.FILE }, { signal });
    if (state !== ArtifactState.UPLOADING) return;
    return fail(job, { name: upload.name, message: job.hideSecrets(messageOf(error)) }, { client, signal });
  }
  const kind = found.isSingle ? ArtifactKind.FILE : ArtifactKind.DIRECTORY;
  const begun = await client.createArtifact({ ...of, kind }, { signal });
  if (begun.state !== ArtifactState.UPLOADING) return;

  const hash = createHash("sha256");
  const received = Number(begun.receivedBytes);
  let offset = 0;
  for await (const part of inParts(bytesOf(files, found))) {
    hash.update(part);
    const end = offset + part.length;
    if (end > received) {
      const from = Math.max(offset, received);
      const answer = await client.writeArtifact(
        { ...of, offset: BigInt(from), data: part.subarray(from - offset) },
        { signal },
      );
      if (Number(answer.receivedBytes) !== end)
        throw new Error(`the control plane stands at ${answer.receivedBytes} bytes`);
      onProgress();
    }
    offset = end;
  }
  await client.finishArtifact({ ...of, sha256: hash.digest("hex") }, { signal });
  for (const omission of found.omissions) job.system(`artifact ${upload.name}: left out: ${job.hideSecrets(omission)}`);
  const { length } = found.files;
  const what = found.isSingle ? "" : `${length} ${length === 1 ? "file" : "files"}, `;
  job.system(`artifact ${upload.name}: ${what}${offset} bytes uploaded`);
}

async function fail(
  { workloadId, fence, system }: UploadJob,
  { name, message }: { name: string; message: string },
  { client, signal }: Call,
): Promise<void> {
  const text = cutText(message, maximumMessageBytes);
  await client.failArtifact({ workloadId, fence, name, message: text }, { signal });
  system(`artifact ${name}: not kept: ${text}`);
}

/** The same files always give the same bytes, so that sending can go on after any interruption. */
function bytesOf(files: JobFiles, { isSingle, base, files: found }: Found): AsyncIterable<Uint8Array> {
  if (isSingle) return readFound(files, found[0]!);
  const packed = packTar(
    found.map((file) => ({
      ...file,
      path: base === "" ? file.path : file.path.slice(base.length + 1),
      content: () => readFound(files, file),
    })),
  );
  return pipeline(Readable.from(packed), createZstdCompress(), () => undefined);
}

async function* inParts(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of bytes) {
    for (let rest = piece; rest.length > 0;) {
      const taken = rest.subarray(0, partBytes - length);
      pieces.push(taken);
      length += taken.length;
      rest = rest.subarray(taken.length);
      if (length < partBytes) continue;
      yield Buffer.concat(pieces);
      pieces = [];
      length = 0;
    }
  }
  if (length > 0) yield Buffer.concat(pieces);
}
