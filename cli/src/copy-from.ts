import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { CopyFromResponse } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { readTar } from "../../wire/tar.ts";
import { streamOptions } from "./client.ts";
import type { Context } from "./context.ts";
import { copyBounds } from "./copy-bounds.ts";
import { startProgress, type CopyProgress } from "./copy-progress.ts";
import { Failure, UsageError } from "./failures.ts";
import { createFilePlace } from "./file-place.ts";
import type { Place } from "./places-of-files.ts";

/** Copies a file or folder of a workload to a path here, or into it where it is a folder. */
export async function copyFromWorkload(
  context: Context,
  { workload = "", path }: Place,
  target: string,
): Promise<void> {
  const { organization, terminal } = context;
  const { tunnels } = await context.controlPlane();
  const request = { workload, organization, start: { path } };
  const outputs = tunnels.copyFrom(request, streamOptions)[Symbol.asyncIterator]();
  const first = await outputs.next();
  const begun = first.done ? undefined : first.value.output?.kind;
  if (begun?.case !== "started") throw new Failure("the control plane ended the copy before it began");
  const place = await placeFor(resolve(terminal.cwd, target), path);
  const progress = startProgress(context);
  try {
    await receive(archiveOf(outputs), { place, isFolder: begun.value.directory }, progress);
  } finally {
    await progress.clear();
  }
  await progress.finish(`${workload}:${path}`, place);
}

/** In a folder that is there, what comes gets its own name; its last part, of what the caller typed, is never the workload's word. */
async function placeFor(target: string, remotePath: string): Promise<string> {
  const isFolder = (await stat(target).catch(() => undefined))?.isDirectory() === true;
  if (!isFolder) return target;
  const name = basename(remotePath);
  if (["", ".", ".."].includes(name)) throw new UsageError(`${target} is a folder`, "name the copy in it, too");
  return join(target, name);
}

type Target = { place: string; isFolder: boolean };

async function receive(
  archive: AsyncIterable<Uint8Array>,
  { place, isFolder }: Target,
  progress: CopyProgress,
): Promise<void> {
  const files = createFilePlace(place);
  if (isFolder) await files.folder("");
  const counted = async function* (content: AsyncIterable<Uint8Array>) {
    for await (const bytes of content) {
      progress.bytes += bytes.length;
      yield bytes;
    }
  };
  const bounds = { ...copyBounds, leaveOut: (path: string, kind: string) => progress.leftOut(path, kind) };
  for await (const entry of readTar(archive, bounds)) {
    if (!isFolder && (entry.kind === "directory" || progress.files > 0))
      throw new Failure("more came than the one file that was asked for");
    if (entry.kind === "directory") await files.folder(entry.path);
    else {
      await files.file(isFolder ? entry.path : "", counted(entry.content), entry.isExecutable);
      progress.files += 1;
    }
  }
  // What follows the archive is padding; behind it is how the copy ended.
  for await (const _padding of archive);
}

/** The bytes of the archive; throws at the end where they are not all, or not those that were sent. */
async function* archiveOf(outputs: AsyncIterator<CopyFromResponse>): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let isWhole = false;
  for (let next = await outputs.next(); !next.done; next = await outputs.next()) {
    const kind = next.value.output?.kind;
    if (kind?.case === "data") {
      hash.update(kind.value);
      yield kind.value;
    } else if (kind?.case === "end") {
      if (kind.value.sha256 !== hash.digest("hex"))
        throw new Failure("what came is not what was sent: its SHA-256 differs");
      isWhole = true;
    } else if (kind?.case === "result" && kind.value.message !== "") throw new Failure(kind.value.message);
  }
  if (!isWhole) throw new Failure("the copy ended early: what is here is not all");
}
