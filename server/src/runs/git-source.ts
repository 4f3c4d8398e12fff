/* A pipeline's file at a ref of a repository, resolved once to a commit: by the git of this machine, into a directory of its own. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgynError } from "../domain/errors.ts";

export type GitFile = { url: string; ref: string; path: string };
export type FetchedFile = { commit: string; content: Uint8Array };
export type FetchOptions = {
  /** The largest file that is read. */
  limit_bytes: number;
  timeout_ms: number;
  /** Whether repositories on the server's own disk may be read. */
  allowFiles: boolean;
};

/** Throws `SOURCE` where the repository, the ref or the file is not there, or takes too long. */
export async function fetchGitFile({ url, ref, path }: GitFile, options: FetchOptions): Promise<FetchedFile> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-source-"));
  const deadline = AbortSignal.timeout(options.timeout_ms);
  const protocols = ["https", "http", "ssh", "git", ...(options.allowFiles ? ["file"] : [])].join(":");
  const git = (...words: string[]) =>
    runGit(words, { directory, protocols, signal: deadline, limit: options.limit_bytes });
  const wanted = ref === "" ? "HEAD" : ref;
  try {
    await git("init", "--quiet", "--bare", ".");
    await git("remote", "add", "origin", url);
    await git("config", "remote.origin.promisor", "true");
    await git("config", "remote.origin.partialclonefilter", "blob:none");
    await git("fetch", "--quiet", "--depth=1", "--no-tags", "--filter=blob:none", "origin", "--", wanted).catch(
      (error: unknown) => {
        throw sourceError(`${url} at ${wanted} cannot be fetched: ${textOf(error, url)}`);
      },
    );
    const commit = (await git("rev-parse", "--verify", "FETCH_HEAD^{commit}")).toString().trim();
    const content = await git("cat-file", "blob", `${commit}:${path}`).catch((error: unknown) => {
      throw sourceError(`${path} is not in ${url} at ${wanted}, or is too large: ${textOf(error, url)}`);
    });
    return { commit, content };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function sourceError(message: string): AgynError {
  return new AgynError("SOURCE", message);
}

type Run = { directory: string; protocols: string; signal: AbortSignal; limit: number };

function runGit(words: readonly string[], { directory, protocols, signal, limit }: Run): Promise<Buffer> {
  const env = {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    HOME: directory,
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_ALLOW_PROTOCOL: protocols,
    GIT_SSH_COMMAND: "ssh -o BatchMode=yes",
  };
  return new Promise((resolve, reject) => {
    const options = { cwd: directory, env, signal, maxBuffer: limit, encoding: "buffer" as const };
    execFile("git", [...words], options, (error, output, complaint) => {
      if (error) reject(new Error(complaint.toString().trim() || error.message, { cause: error }));
      else resolve(output);
    });
  });
}

const complaintLimit = 300;

/** What git says, without credentials that its address carries, in one line. */
function textOf(error: unknown, url: string): string {
  const text = error instanceof Error ? error.message : String(error);
  const hidden = /\/\/[^/@]*@/.exec(url)?.[0];
  const clean = hidden === undefined ? text : text.replaceAll(hidden, "//");
  return clean.replaceAll(/\s+/g, " ").slice(0, complaintLimit);
}
