/*
 * Puts files into a workspace before its job starts. Its folders may come from a repository, links among them: each folder on
 * the way is looked at, and nothing is written through one that is not a folder itself.
 */
import { constants } from "node:fs";
import { chown, lstat, mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline, Readable } from "node:stream";
import { createZstdDecompress } from "node:zlib";
import { artifactNameFault } from "../../../wire/artifact-name.ts";
import { readTar, TarError, type TarBounds } from "../../../wire/tar.ts";
import type { JobFiles } from "./executor.ts";

/** Of one archive, unpacked: what a hostile one may do to the disk. */
export const unpackBounds: TarBounds = { entries: 200_000, bytes: 64 * 1024 ** 3 };

/** After the end of an archive, where some programs pad it. */
const maximumTrailingBytes = 1024 * 1024;

/** Unpacks a tar in zstd into a folder of the workspace (empty: the workspace itself); answers how many files came. */
export async function unpack(
  files: JobFiles,
  folder: string,
  packed: AsyncIterable<Uint8Array>,
  bounds: TarBounds = unpackBounds,
): Promise<number> {
  const place = createPlace(files);
  const below = (path: string): string => (folder === "" ? path : `${folder}/${path}`);
  if (folder !== "") await place.folder(checkedName(folder));
  let count = 0;
  const unpacked = pipeline(Readable.from(packed), createZstdDecompress(), () => undefined);
  try {
    for await (const entry of readTar(unpacked, bounds)) {
      if (entry.kind === "directory") await place.folder(below(entry.path));
      else {
        await place.file(below(entry.path), entry.content, entry.isExecutable);
        count += 1;
      }
    }
    // What follows the archive's end is read too: the digest is that of everything.
    let trailing = 0;
    for await (const rest of unpacked as AsyncIterable<Uint8Array>) {
      trailing += rest.length;
      if (trailing > maximumTrailingBytes)
        throw new TarError(`more than ${maximumTrailingBytes} bytes follow the archive`);
    }
  } finally {
    unpacked.destroy();
  }
  return count;
}

/** Puts one file into the workspace. */
export async function putFile(files: JobFiles, name: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  await createPlace(files).file(checkedName(name), content, false);
}

function checkedName(name: string): string {
  const fault = artifactNameFault(name);
  if (fault !== undefined) throw new Error(`artifact ${JSON.stringify(name)}: ${fault}`);
  return name;
}

function createPlace({ workspace, uid }: JobFiles) {
  const known = new Set(["."]);
  const own = async (path: string): Promise<void> => {
    if (uid !== undefined) await chown(path, uid, uid);
  };
  const folder = async (path: string): Promise<void> => {
    if (known.has(path)) return;
    await folder(dirname(path));
    const at = join(workspace, path);
    const status = await lstat(at).catch(() => undefined);
    if (status === undefined) {
      await mkdir(at, { mode: 0o755 });
      await own(at);
    } else if (!status.isDirectory()) throw new Error(`${path} is there already, and no folder`);
    known.add(path);
  };
  return {
    folder,
    async file(path: string, content: AsyncIterable<Uint8Array>, isExecutable: boolean): Promise<void> {
      await folder(dirname(path));
      const at = join(workspace, path);
      const status = await lstat(at).catch(() => undefined);
      if (status?.isDirectory()) throw new Error(`${path} is there already, as a folder`);
      if (status !== undefined) await rm(at);
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const file = await open(at, flags, isExecutable ? 0o755 : 0o644);
      try {
        for await (const piece of content) await file.writeFile(piece);
        if (uid !== undefined) await file.chown(uid, uid);
      } finally {
        await file.close();
      }
    },
  };
}
