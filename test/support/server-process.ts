import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { endJobsLeft } from "./jobs-left.ts";
import { isReachableFor, networkSettings, openNetwork, overlayOfRun } from "./network.ts";
import { clientsFor, until, type Clients, type RegisteredRunner } from "./world.ts";

/** A server as its own process, with the embedded PostgreSQL, on ports that stay the same. */
export interface ServerProcess extends AsyncDisposable {
  readonly gateway: string;
  readonly admin: Clients;
  /** Starts it, and waits until it answers. */
  start(): Promise<void>;
  /** Ends it without a word; its PostgreSQL lives on. */
  killAtOnce(): Promise<void>;
  register(name: string): Promise<RegisteredRunner>;
}

export async function createServerProcess(over = overlayOfRun): Promise<ServerProcess> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-server-"));
  const data = join(directory, "data");
  const [userPort, runnerPort] = [await freePort(), await freePort()];
  const gateway = `http://127.0.0.1:${userPort}`;
  const flags = ["--data-dir", data, "--listen", `127.0.0.1:${userPort}`, "--runner-listen", `127.0.0.1:${runnerPort}`];
  const fabric = over === "openziti" ? await openNetwork() : undefined;
  if (fabric) flags.push(...Object.entries(await networkSettings(fabric, directory)).flatMap(toFlag));
  const quick = ["--heartbeat", "500ms", "--lease", "2s", "--leader-lease", "1s", "--loop-period", "250ms"];
  let child: ChildProcess | undefined;
  let admin: Clients | undefined;
  const end = async (signal: NodeJS.Signals) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  };
  const start = async () => {
    const main = join(import.meta.dirname, "../../server/src/main.ts");
    child = spawn(process.execPath, [main, ...flags, ...quick], { stdio: "ignore" });
    await until(
      "the server answers",
      () =>
        fetch(`${gateway}/readyz`).then(
          (answer) => answer.ok,
          () => false,
        ),
      60_000,
    );
    admin = clientsFor(gateway, (await readFile(join(data, "admin-token"), "utf8")).trim());
  };
  return {
    gateway,
    get admin() {
      return admin!;
    },
    start,
    killAtOnce: () => end("SIGKILL"),
    async register(name) {
      const scope = { kind: { case: "organization" as const, value: "default" } };
      const { runner, serviceToken } = await admin!.runners.registerRunner({ name, scope });
      const tokenFile = join(directory, `${name}.token`);
      await writeFile(tokenFile, serviceToken, { mode: 0o600 });
      if (fabric) await until(`the network knows ${name}`, () => isReachableFor(fabric, runner!));
      return { id: runner!.id, name, token: serviceToken, tokenFile, dataDirectory: join(directory, `runner-${name}`) };
    },
    async [Symbol.asyncDispose]() {
      // Only a server that ends in its own time ends its PostgreSQL with it.
      if (child?.exitCode !== null || child.signalCode !== null) await start();
      await end("SIGTERM");
      await endJobsLeft(directory);
      await fabric?.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function toFlag([name, value]: [string, string]): string[] {
  return [`--${name.replaceAll("_", "-")}`, value];
}
