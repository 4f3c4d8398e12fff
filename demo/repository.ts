import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { createGunzip } from "node:zlib";

/** This checkout at its HEAD, served read-only over loopback until it is closed. */
export type ServedRepository = { url: string; commit: string; subject: string; close(): Promise<void> };

const gitTimeout_ms = 60_000;

/**
 * Serves the repository that `directory` is a checkout of by git's own smart HTTP: a job's user need not own it, nor be able to enter
 * it, and a shallow clone serves as well as a whole one. The path is random, so that other users of the machine do not find it.
 * `scratch` is a directory for git's settings.
 */
export async function serveRepository(directory: string, scratch: string): Promise<ServedRepository> {
  const settings = join(scratch, "gitconfig");
  writeFileSync(settings, "[safe]\n\tdirectory = *\n[uploadpack]\n\tallowAnySHA1InWant = true\n");
  const env = gitEnvironment(settings);
  const [commit, subject] = await readHead(directory, env);
  const path = `/${randomBytes(16).toString("hex")}/agyn.git`;
  const server = http.createServer((request, response) => {
    const url = request.url ?? "";
    const protocol = request.headers["git-protocol"];
    const serving = { ...env, ...(typeof protocol === "string" && { GIT_PROTOCOL: protocol }) };
    if (request.method === "GET" && url === `${path}/info/refs?service=git-upload-pack`) {
      response.writeHead(200, headers("advertisement")).write("001e# service=git-upload-pack\n0000");
      uploadPack(["--advertise-refs", directory], serving, request, response);
    } else if (request.method === "POST" && url === `${path}/git-upload-pack`) {
      response.writeHead(200, headers("result"));
      uploadPack([directory], serving, request, response);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${path}`,
    commit,
    subject,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readHead(directory: string, env: NodeJS.ProcessEnv): Promise<[string, string]> {
  const run = promisify(execFile);
  const { stdout } = await run("git", ["-C", directory, "log", "-1", "--format=%H%n%s"], { env }).catch(
    (error: { code?: unknown; stderr?: string }) => {
      if (error.code === "ENOENT") throw new Error("git is not on the PATH: install it, then run this again");
      const reason = error.stderr?.trim().split("\n").at(-1) ?? "";
      throw new Error(`${directory} is not a git checkout with a commit, which the demo is to work on: ${reason}`);
    },
  );
  const [commit = "", subject = ""] = stdout.split("\n");
  return [commit, subject];
}

/** Nothing of the caller's repository or settings: a hook that runs the demo has `GIT_DIR` set. */
function gitEnvironment(settings: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"));
  return { ...Object.fromEntries(own), GIT_CONFIG_GLOBAL: settings, GIT_CONFIG_NOSYSTEM: "1", LC_ALL: "C" };
}

function headers(kind: "advertisement" | "result"): http.OutgoingHttpHeaders {
  return { "content-type": `application/x-git-upload-pack-${kind}`, "cache-control": "no-cache" };
}

function uploadPack(
  args: string[],
  env: NodeJS.ProcessEnv,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): void {
  const child = spawn("git", ["upload-pack", "--stateless-rpc", ...args], {
    env,
    stdio: ["pipe", "pipe", "ignore"],
    timeout: gitTimeout_ms,
  });
  const body = request.headers["content-encoding"] === "gzip" ? request.pipe(createGunzip()) : request;
  const fail = () => response.destroy();
  child.once("error", fail);
  child.stdin.on("error", () => undefined);
  body.on("error", fail).pipe(child.stdin);
  child.stdout.pipe(response);
  child.once("exit", (code) => code !== 0 && fail());
}
