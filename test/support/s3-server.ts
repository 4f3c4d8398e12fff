import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { freePort } from "./free-port.ts";
import { until } from "./world.ts";

const version = "v1.8.0";
const source = "github.com/versity/versitygw/cmd/versitygw";
/** Fetching and building it takes some minutes of two cores, once for each user of a machine. */
export const buildTimeout_ms = 540_000;

/** Whether there is an S3 server to test against. It is built with Go, and only a machine without Go goes without. */
export const hasS3Server = spawnSync("go", ["version"]).status === 0;
if (!hasS3Server) process.stderr.write("NOT TESTED: the S3 store, because there is no go to build an S3 server with\n");

/** A real S3 server on this machine, with one empty bucket. */
export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly address: string;
  readonly bucket: string;
  /** Of its one user, who may do everything; for `process.env`. */
  readonly credentials: { AWS_ACCESS_KEY_ID: string; AWS_SECRET_ACCESS_KEY: string };
  /** For what the store's own port does not show. */
  readonly client: S3Client;
}

/** Starts versitygw over a directory of its own. */
export async function startS3Server(): Promise<S3Server> {
  const binary = await buildServer();
  const directory = await mkdtemp(join(tmpdir(), "agyn-s3-"));
  const [objects, properties] = [join(directory, "objects"), join(directory, "properties")];
  for (const folder of [objects, properties]) await mkdir(folder);
  const address = `127.0.0.1:${await freePort()}`;
  const credentials = { AWS_ACCESS_KEY_ID: "agyn-test", AWS_SECRET_ACCESS_KEY: "agyn-test-secret" };
  const root = { ROOT_ACCESS_KEY: credentials.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: credentials.AWS_SECRET_ACCESS_KEY };
  const child = spawn(binary, ["--port", address, "--quiet", "posix", "--sidecar", properties, objects], {
    stdio: "ignore",
    env: { ...process.env, ...root },
  });
  const exited = once(child, "exit");
  const endpoint = `http://${address}`;
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: {
      accessKeyId: credentials.AWS_ACCESS_KEY_ID,
      secretAccessKey: credentials.AWS_SECRET_ACCESS_KEY,
    },
  });
  const isUp = () => fetch(endpoint).then(Boolean, () => false);
  await Promise.race([until("the S3 server answers", isUp), exited.then(refuse)]);
  const bucket = "agyn-test";
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  return {
    ...{ endpoint, address, bucket, credentials, client },
    async [Symbol.asyncDispose]() {
      client.destroy();
      child.kill("SIGKILL");
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function refuse(): never {
  throw new Error("the S3 server ended before it served");
}

/** Builds the server unless it was built before. Who comes meanwhile waits for the lock, which dies with its holder. */
async function buildServer(): Promise<string> {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folder = join(cache, "agyn", `versitygw-${version}`);
  const binary = join(folder, "versitygw");
  if (existsSync(binary)) return binary;
  await mkdir(folder, { recursive: true });
  // Go writes the file in place, so it is built elsewhere and moved when it is whole.
  const build = `test -x "$0" || { go install "$1" && mv "$GOBIN/versitygw" "$0"; }`;
  const lock = ["--exclusive", join(folder, "lock"), "sh", "-c", build, binary, `${source}@${version}`];
  const env = { ...process.env, GOBIN: join(folder, "new"), CGO_ENABLED: "0" };
  await promisify(execFile)("flock", lock, { timeout: buildTimeout_ms, env });
  return binary;
}
