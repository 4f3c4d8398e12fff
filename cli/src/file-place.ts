import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { artifactNameFault, nameKey } from "../../wire/artifact-name.ts";
import { Failure } from "./failures.ts";

/** Where files of an archive are put, which somebody else made. */
export type FilePlace = {
  /** Makes a folder; an empty path is the place itself. */
  folder(path: string): Promise<void>;
  /** Puts a file there, whole or not at all; an empty path is the place itself. What is there already is replaced, never followed. */
  file(path: string, content: AsyncIterable<Uint8Array>, isExecutable: boolean): Promise<void>;
};

/**
 * A place for the files of an archive whose names lead downwards (`entryPathFault`). Nothing is written through a link below it, and of two
 * names that a file system may take for one the second is refused.
 */
export function createFilePlace(place: string): FilePlace {
  const folders = new Set<string>();
  const files = new Set<string>();
  const folder = async (path: string): Promise<void> => {
    if (folders.has(path)) return;
    if (path !== "") await folder(parentOf(path));
    checkName(path);
    const at = join(place, path);
    const status = await lstat(at).catch(() => undefined);
    if (status === undefined) await mkdir(at);
    else if (!status.isDirectory()) throw new Failure(`${at} is there already, and no folder`);
    folders.add(path);
  };
  return {
    folder,
    async file(path, content, isExecutable) {
      if (path !== "") await folder(parentOf(path));
      checkName(path);
      if (files.has(nameKey(path))) throw new Failure(`two files came with the name ${JSON.stringify(path)}`);
      files.add(nameKey(path));
      const at = join(place, path);
      if ((await lstat(at).catch(() => undefined))?.isDirectory())
        throw new Failure(`${at} is there already, as a folder`);
      await writeWhole(at, content, isExecutable ? 0o777 : 0o666);
    },
  };
}

function parentOf(path: string): string {
  const parent = dirname(path);
  return parent === "." ? "" : parent;
}

/** On Windows a name may mean a device, a stream or another drive. */
function checkName(path: string): void {
  const fault = process.platform === "win32" && path !== "" ? artifactNameFault(basename(path)) : undefined;
  if (fault !== undefined) throw new Failure(`the name ${JSON.stringify(path)} is none for a file here: ${fault}`);
}

async function writeWhole(at: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
  const draft = join(dirname(at), `.${basename(at).slice(0, 100)}.${randomBytes(6).toString("hex")}`);
  const file = await open(draft, "wx", mode).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    throw new Failure(`cannot write ${at} (${code})`);
  });
  try {
    for await (const bytes of content) await file.writeFile(bytes);
    await file.close();
    await rename(draft, at);
  } finally {
    await file.close().catch(() => undefined);
    await rm(draft, { force: true });
  }
}
