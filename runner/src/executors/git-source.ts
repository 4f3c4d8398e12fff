import { spawn } from "node:child_process";

import { describeSource } from "./ending.ts";
import type { GitSource } from "./executor.ts";
import { createLastLines, type LastLines } from "./last-lines.ts";
import { signal as sendSignal } from "./process-tree.ts";

const protocols = new Set(["https:", "http:", "ssh:", "git:", "file:"]);
const longestRefBytes = 250;
const longestUrlBytes = 2048;
/** Of what a git command says. */
const keptCharacters = 4096;

/** What git's own rules and ours forbid in a ref: control and invisible characters, and what refspecs or reflogs give a meaning. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const forbiddenInRef = /[\u0000-\u0020\u007f-\u00a0~^:?*[\\\p{Cf}\p{Zl}\p{Zp}]/u;

/** Why a ref is refused, or `undefined`. Git is never asked about one that could be taken for an option or an expression. */
export function refFault(ref: string): string | undefined {
  const name = `git ref ${JSON.stringify(ref.slice(0, 80))}`;
  if (ref === "") return "git ref is empty";
  if (Buffer.byteLength(ref) > longestRefBytes) return `${name} is longer than ${longestRefBytes} bytes`;
  if (ref.startsWith("-")) return `${name} starts with "-"`;
  if (ref.includes("..")) return `${name} contains ".."`;
  if (ref.includes("@{") || ref === "@") return `${name} contains "@{" or is "@"`;
  if (forbiddenInRef.test(ref)) return `${name} contains a character that is not allowed in a ref`;
  if (/^\/|\/$|\/\/|\.$|\.lock$|\/\.|^\./.test(ref)) return `${name} is not a well-formed ref`;
  return undefined;
}

/** Why a URL is refused, or `undefined`. Either one of the allowed protocols, or `user@host:path`, which means ssh. */
export function urlFault(url: string): string | undefined {
  const name = `git url ${JSON.stringify(url.replace(/\/\/[^/@]*@/, "//").slice(0, 80))}`;
  if (Buffer.byteLength(url) > longestUrlBytes) return `git url is longer than ${longestUrlBytes} bytes`;
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f]/.test(url)) return `${name} contains a space or control character`;
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:-][^:]*$/.test(url)) return undefined;
  const parsed = URL.parse(url);
  if (parsed === null || !/^[a-z]+:\/\//i.test(url)) return `${name} is not a url`;
  if (!protocols.has(parsed.protocol))
    return `${name} uses ${parsed.protocol}//; allowed are ${[...protocols].join(" ")}`;
  if (parsed.hostname.startsWith("-") || parsed.username.startsWith("-"))
    return `${name} has a host or user that starts with "-"`;
  return undefined;
}

/** How a checkout is made: as whom, where, and who is told. */
export type Checkout = {
  /** Put before `git`, so that it runs as the job will. */
  enclosingArgv: readonly string[];
  env: Record<string, string>;
  workspace: string;
  system(text: string): void;
  /** Kills git; its reason ends up in the error. */
  signal: AbortSignal;
};

/**
 * Brings `source` into the empty workspace, detached at the commit of the ref. First only that commit; where the server cannot do
 * this (a plain file server, a commit it does not advertise, a short commit id), everything.
 */
export async function checkOut(source: GitSource, checkout: Checkout): Promise<void> {
  const fault = urlFault(source.url) ?? refFault(source.ref);
  if (fault !== undefined) throw new Error(fault);
  checkout.system(`fetching ${describeSource(source)}\n`);
  await mustGit(["init", "--quiet"], checkout);
  await mustGit(["remote", "add", "--", "origin", source.url], checkout);

  const shallow = await git(["fetch", "--quiet", "--depth=1", "--no-tags", "--", "origin", source.ref], checkout);
  if (shallow.code === 0) {
    await mustGit(["checkout", "--quiet", "--detach", "FETCH_HEAD"], checkout);
  } else {
    const all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    await mustGit(["fetch", "--quiet", "--", "origin", ...all], checkout);
    await mustGit(["checkout", "--quiet", "--detach", await resolveRef(source, checkout)], checkout);
  }
  const { output } = await git(["rev-parse", "HEAD"], checkout);
  checkout.system(`checked out ${output.trim()}\n`);
}

async function resolveRef(source: GitSource, checkout: Checkout): Promise<string> {
  for (const candidate of [`refs/tags/${source.ref}`, `refs/remotes/origin/${source.ref}`, source.ref]) {
    const found = await git(
      ["rev-parse", "--verify", "--quiet", "--end-of-options", `${candidate}^{commit}`],
      checkout,
    );
    if (found.code === 0) return found.output.trim();
  }
  throw new Error(`no branch, tag or commit ${JSON.stringify(source.ref)} in ${describeSource(source)}`);
}

type GitAnswer = { code: number | null; output: string; errors: string };

async function mustGit(args: string[], checkout: Checkout): Promise<void> {
  const { code, errors } = await git(args, checkout);
  if (code === 0) return;
  checkout.system(errors);
  const lines = errors.trim().split("\n");
  const reason = lines.find((line) => line.startsWith("fatal: "))?.slice("fatal: ".length) ?? lines.at(-1) ?? "";
  throw new Error(`git ${args[0]} failed${reason === "" ? ` with code ${code}` : `: ${reason}`}`);
}

/** Runs one git command in the workspace: no shell, no prompt, no configuration but ours, killed with all its helpers. */
function git(args: string[], { enclosingArgv, env, workspace, signal }: Checkout): Promise<GitAnswer> {
  signal.throwIfAborted();
  const settings = ["-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null", "-c", "credential.helper="];
  const [file = "git", ...rest] = [...enclosingArgv, "git", ...settings, "-C", workspace, ...args];
  const child = spawn(file, rest, { cwd: "/", env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    const [output, errors] = [child.stdout, child.stderr].map((stream) => {
      const lines = createLastLines(keptCharacters);
      stream.setEncoding("utf8").on("data", (piece: string) => lines.add(piece));
      return lines;
    }) as [LastLines, LastLines];
    const abort = (): void => {
      if (child.pid !== undefined) sendSignal(-child.pid, "SIGKILL");
    };
    signal.addEventListener("abort", abort, { once: true });
    child.on("error", reject);
    child.on("close", (code) => {
      signal.removeEventListener("abort", abort);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve({ code, output: output.text, errors: errors.text });
    });
  });
}

/**
 * The environment of git. Local repositories may belong to another user than the job's (`safe.directory` reaches the serving side
 * through a configuration file only), which is harmless: what runs there runs as the job.
 */
export function gitEnvironment(base: ReadonlyMap<string, string>, globalConfig: string): Record<string, string> {
  return {
    ...Object.fromEntries(base),
    GIT_CONFIG_GLOBAL: globalConfig,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: [...protocols].map((protocol) => protocol.slice(0, -1)).join(":"),
    GIT_SSH_COMMAND: "ssh -oBatchMode=yes",
  };
}
