import { createHash } from "node:crypto";
import { open, readFile, realpath, rename, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { makeDirectory } from "./blobs/make-directory.ts";
import { ConfigError } from "./config.ts";
import { createId } from "../../wire/ids.ts";

/** A server's data directory, owned by this process until it is released or the process dies. */
export type DataDirectory = { path: string; replicaId: string; release(): Promise<void> };

/** The layout of the directory; another number is another version's. */
const layoutVersion = "3";

/** Makes the directory where it is missing, and takes it for this process alone. */
export async function claimDataDirectory(path: string): Promise<DataDirectory> {
  await makeDirectory(path);
  const lock = await takeLock(path);
  try {
    const found = await readOrWrite(join(path, "version"), layoutVersion);
    if (found !== layoutVersion) {
      throw new ConfigError(
        `data_dir: ${path} has layout ${found}, this server knows ${layoutVersion}: use the version that made it, or another directory`,
      );
    }
    await writeFile(join(path, "server.pid"), `${process.pid}\n`, { mode: 0o600 });
    return {
      path,
      replicaId: await readOrWrite(join(path, "replica"), createId("replica")),
      release: () => closeLock(lock),
    };
  } catch (error) {
    await closeLock(lock);
    throw error;
  }
}

/** Writes a file so that it is whole or not there; mode 0600. */
export async function writeSecretFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  await file.writeFile(text);
  await file.sync();
  await file.close();
  await rename(temporary, path);
}

async function readOrWrite(file: string, text: string): Promise<string> {
  const found = await readFile(file, "utf8").catch(() => undefined);
  if (found !== undefined) return found.trim();
  await writeSecretFile(file, `${text}\n`);
  return text;
}

/** An abstract Unix socket named after the directory: the kernel takes it back when the process dies, however it dies. */
async function takeLock(path: string): Promise<net.Server> {
  const name = createHash("sha256")
    .update(await realpath(path))
    .digest("hex")
    .slice(0, 32);
  const server = net.createServer((socket) => socket.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(`\0agyn-server-${name}`, resolve);
  try {
    await promise;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    const pid = (await readFile(join(path, "server.pid"), "utf8").catch(() => "unknown")).trim();
    throw new ConfigError(
      `data_dir: ${path} is in use by another server (process ${pid}): stop it, or choose another directory`,
    );
  }
  server.unref();
  return server;
}

function closeLock(lock: net.Server): Promise<void> {
  return new Promise((resolve) => lock.close(() => resolve()));
}
