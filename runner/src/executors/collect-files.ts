/*
 * The files of a workspace that an artifact is made of. Its job may have put anything there, so nothing is followed out of it:
 * folders are walked by what they are themselves, and an opened file's own place decides.
 */
import { constants, realpathSync, type Stats } from "node:fs";
import { lstat, open, readdir, readlink, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { entryPathFault } from "../../../wire/artifact-name.ts";
import type { JobFiles } from "./executor.ts";
import { createPathMatcher, type PathMatcher } from "./path-pattern.ts";

/** A file of the workspace; `path` is relative to it. */
export type FoundFile = { path: string; sizeBytes: number; isExecutable: boolean };

/** What the paths of an artifact came to. `base`: the folder that all of it lies in. */
export type Found = {
  isSingle: boolean;
  base: string;
  files: FoundFile[];
  /** Why things that matched are left out. */
  omissions: string[];
};

/** Files and folders that are looked at for one artifact. */
const maximumEntries = 200_000;
const maximumOmissions = 20;
const wildcard = /[*?]/;

/** Finds what matches; throws where nothing does, or too much. */
export async function collectFiles({ workspace }: JobFiles, patterns: readonly string[]): Promise<Found> {
  const cleaned = patterns.map((pattern) => pattern.replace(/^(\.\/)+/, "").replace(/\/+$/, "") || ".");
  const files = new Map<string, FoundFile>();
  const omissions = new Set<string>();
  const walk = { workspace, files, omissions, left: maximumEntries };
  const bases: string[] = [];
  let isSingle = false;
  for (const pattern of cleaned) {
    const start = literalStart(pattern);
    if (start.split("/").includes("..") || start.startsWith("/"))
      throw new Error(`path ${pattern} leads out of the workspace`);
    const kind = await kindOf(workspace, start);
    if (kind === "none") continue;
    if (kind === "other") {
      omissions.add(`${start} is a link, or no plain file`);
      continue;
    }
    isSingle = cleaned.length === 1 && kind === "file" && start === pattern;
    bases.push(kind === "file" ? dirname(start) : start);
    await visit(walk, start, createPathMatcher(pattern));
  }
  if (files.size === 0) {
    const why = [...omissions].slice(0, 3).join("; ");
    throw new Error(`no file matches ${patterns.join(", ")}${why === "" ? "" : ` (${why})`}`);
  }
  const sorted = [...files.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const listed = [...omissions];
  if (listed.length > maximumOmissions)
    listed.splice(maximumOmissions, Infinity, `${listed.length - maximumOmissions} more are left out`);
  return { isSingle, base: commonFolder(bases), files: sorted, omissions: listed };
}

/** The parts of a pattern before its first wildcard: where looking begins. */
function literalStart(pattern: string): string {
  const parts = pattern.split("/");
  const end = parts.findIndex((part) => wildcard.test(part));
  return (end < 0 ? parts : parts.slice(0, end)).join("/") || ".";
}

type Kind = "file" | "directory" | "other" | "none";

/** What lies at a path, each of its folders being one itself. */
async function kindOf(workspace: string, path: string): Promise<Kind> {
  let at = workspace;
  const parts = path === "." ? [] : path.split("/");
  for (const [index, part] of parts.entries()) {
    at = join(at, part);
    const status = await lstat(at).catch(() => undefined);
    if (status === undefined) return "none";
    const isLast = index === parts.length - 1;
    if (isLast && status.isFile()) return "file";
    if (status.isDirectory()) continue;
    return isLast || status.isSymbolicLink() ? "other" : "none";
  }
  return "directory";
}

type Walk = { workspace: string; files: Map<string, FoundFile>; omissions: Set<string>; left: number };

async function visit(walk: Walk, path: string, matches: PathMatcher): Promise<void> {
  if (--walk.left < 0) throw new Error(`more than ${maximumEntries} files and folders would have to be looked at`);
  const status = await lstat(join(walk.workspace, path)).catch(absent);
  if (status?.isDirectory()) {
    for (const name of await readdir(join(walk.workspace, path))) {
      await visit(walk, path === "." ? name : `${path}/${name}`, matches);
    }
    return;
  }
  if (!matches(path)) return;
  const fault = faultOf(path, status);
  if (status && fault === undefined) {
    walk.files.set(path, { path, sizeBytes: status.size, isExecutable: (status.mode & 0o100) !== 0 });
  } else walk.omissions.add(`${path}: ${fault}`);
}

/** What a folder lists may be gone, or have a name that text does not hold: no path leads to it then. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

function faultOf(path: string, status: Stats | undefined): string | undefined {
  if (!status) return path.includes("\uFFFD") ? "its name is not UTF-8" : "it was removed meanwhile";
  return status.isFile() ? entryPathFault(path) : "it is a link, or no plain file";
}

function commonFolder(folders: readonly string[]): string {
  const split = folders.map((folder) => (folder === "." ? [] : folder.split("/")));
  const first = split[0] ?? [];
  const length = first.findIndex((part, index) => split.some((parts) => parts[index] !== part));
  return (length < 0 ? first : first.slice(0, length)).join("/");
}

/** The bytes of a file that was found, as many as it had then. */
export async function* readFound(files: JobFiles, { path, sizeBytes }: FoundFile): AsyncGenerator<Uint8Array> {
  const file = await openInside(files, path);
  try {
    const buffer = Buffer.allocUnsafe(256 * 1024);
    for (let at = 0; at < sizeBytes;) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, sizeBytes - at), at);
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      at += bytesRead;
      yield Uint8Array.from(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** Opens a plain file whose own place is in the workspace, whatever stood at its path before. */
async function openInside({ workspace, uid }: JobFiles, path: string): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(join(workspace, path), flags);
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Error(`${path} is no plain file`);
    // A second name for a file of somebody else would show what the job itself could not read.
    if (uid !== undefined && status.uid !== uid) throw new Error(`${path} is not the job's own`);
    const place = await readlink(`/proc/self/fd/${file.fd}`);
    if (!place.startsWith(`${realpathSync(workspace)}/`)) throw new Error(`${path} leads out of the workspace`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
