import { createHash } from "node:crypto";
import { createReadStream, type Stats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { basename, join, posix, resolve } from "node:path";
import type { CopyToResponse } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { packTar, type TarFile, type TarFolder } from "../../wire/tar.ts";
import { streamOptions } from "./client.ts";
import type { Context } from "./context.ts";
import { copyBounds } from "./copy-bounds.ts";
import { startProgress, type CopyProgress } from "./copy-progress.ts";
import { Failure, UsageError } from "./failures.ts";
import type { Place } from "./places-of-files.ts";
import { TunnelInputs } from "./tunnel-inputs.ts";

/** Copies a file or folder of this machine to a path of a workload, or into it where it is a folder. */
export async function copyToWorkload(context: Context, source: string, { workload = "", path }: Place): Promise<void> {
  const { organization, terminal } = context;
  const { tunnels } = await context.controlPlane();
  const local = resolve(terminal.cwd, source);
  const status = await stat(local).catch(() => undefined);
  if (status === undefined) throw new UsageError(`there is no file or folder ${source}`);
  const inputs = new TunnelInputs({ workload, organization, start: { path } });
  const outputs = tunnels.copyTo(inputs.requests(), streamOptions)[Symbol.asyncIterator]();
  const first = await outputs.next();
  const begun = first.done ? undefined : first.value.output?.kind;
  if (begun?.case !== "started") throw new Failure("the control plane ended the copy before it began");
  const name = begun.value.directory ? basename(local) : posix.basename(posix.resolve("/", path));
  const progress = startProgress(context);
  try {
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    send(inputs, entriesOf(local, name, { status, progress })).catch(failed.reject);
    await Promise.race([ended(outputs), failed.promise]);
  } finally {
    await progress.clear();
  }
  await progress.finish(source, `${workload}:${path}`);
}

async function send<S>(inputs: TunnelInputs<S>, entries: AsyncIterable<TarFile | TarFolder>): Promise<void> {
  const hash = createHash("sha256");
  const hashed = async function* () {
    for await (const bytes of packTar(entries)) {
      hash.update(bytes);
      yield bytes;
    }
  };
  await inputs.sendAll(hashed());
  await inputs.say({ case: "end", value: { sha256: hash.digest("hex") } });
}

async function ended(outputs: AsyncIterator<CopyToResponse>): Promise<void> {
  for (let next = await outputs.next(); !next.done; next = await outputs.next()) {
    const kind = next.value.output?.kind;
    if (kind?.case !== "result") continue;
    if (kind.value.message !== "") throw new Failure(kind.value.message);
    return;
  }
  throw new Failure("the control plane ended the copy early");
}

type Found = { status: Stats; progress: CopyProgress };

/** A file, or all of a folder; links below it, and what is neither file nor folder, are left out. */
async function* entriesOf(
  local: string,
  path: string,
  { status, progress }: Found,
): AsyncGenerator<TarFile | TarFolder> {
  if (status.isFile()) {
    progress.files += 1;
    if (progress.files > copyBounds.entries)
      throw new Failure(`more than ${copyBounds.entries} files are to be copied`);
    const content = () => counted(createReadStream(local), progress);
    yield { path, isExecutable: (status.mode & 0o100) !== 0, sizeBytes: status.size, content };
  } else if (status.isDirectory()) {
    yield { path, isFolder: true };
    for (const name of (await readdir(local)).toSorted()) {
      const below = join(local, name);
      const found = await lstat(below).catch(() => undefined);
      if (found) yield* entriesOf(below, `${path}/${name}`, { status: found, progress });
      // Read as text, a name that is none leads nowhere.
      else if (name.includes("\uFFFD")) progress.leftOut(`${path}/${name}`, "not named in UTF-8");
    }
  } else progress.leftOut(path, status.isSymbolicLink() ? "a symbolic link" : "neither a file nor a folder");
}

async function* counted(content: AsyncIterable<Uint8Array>, progress: CopyProgress) {
  for await (const bytes of content) {
    progress.bytes += bytes.length;
    yield bytes;
  }
}
