import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LogsService, LogStream } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { createCertificate } from "../support/certificate.ts";
import { startServer } from "./support/server.ts";
import { run } from "./support/terminal.ts";

const main = join(import.meta.dirname, "../../cli/src/main.ts");
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "agyn-cli-process-"));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function start(gateway: string, argv: readonly string[]) {
  const child = spawn(process.execPath, [main, "--gateway", gateway, ...argv], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { child, exited: once(child, "exit") };
}

/** A log without end that sends a line whenever the last one was read. */
function endlessLog(router: ConnectRouter): void {
  router.rpc(LogsService.method.followLog, async function* () {
    for (let number = 0n; ; number++) {
      const content = Buffer.from(`line ${number} ${"x".repeat(1000)}`);
      yield { lines: [{ number, stream: LogStream.STDOUT, content }], nextLine: number + 1n };
    }
  });
}

test("the first Ctrl-C ends a follower with 130", async () => {
  await using server = await startServer(endlessLog);
  const { child, exited } = start(server.gateway, ["workloads", "logs", "-f", "x"]);
  await once(child.stdout, "data");
  child.stdout.resume();
  child.kill("SIGINT");
  expect(await exited).toEqual([130, null]);
});

test("the second Ctrl-C ends it even where nobody reads what it writes", async () => {
  await using server = await startServer(endlessLog);
  const { child, exited } = start(server.gateway, ["workloads", "logs", "-f", "x"]);
  await once(child.stdout, "readable");
  child.kill("SIGINT");
  const second = setInterval(() => child.kill("SIGINT"), 50);
  const [exitCode] = (await exited) as [number | null];
  clearInterval(second);
  child.stdout.destroy();
  expect(exitCode).toBe(130);
});

test("a reader that has seen enough, such as head, is no failure", async () => {
  await using server = await startServer(endlessLog);
  const { child, exited } = start(server.gateway, ["workloads", "logs", "-f", "x"]);
  await once(child.stdout, "data");
  child.stdout.destroy();
  expect(await exited).toEqual([0, null]);
});

test("results that cannot be written are a failure that says so", async () => {
  await using server = await startServer((router) =>
    router.rpc(RunnersService.method.listRunners, () => ({ runners: [{ name: "seen" }] })),
  );
  const full = openSync("/dev/full", "w");
  const child = spawn(process.execPath, [main, "--gateway", server.gateway, "runners", "list"], {
    stdio: ["ignore", full, "pipe"],
  });
  closeSync(full);

  const [told, [exitCode]] = await Promise.all([text(child.stderr!), once(child, "exit")]);

  expect(exitCode).toBe(1);
  expect(told).toBe("error: the output cannot be written: no space left on device (ENOSPC)\n");
});

test("a gateway that is something else than a control plane is told so", async () => {
  await using server = await startServer(() => undefined);

  const told = await run(["--gateway", server.gateway, "orgs", "list"]);

  expect(told).toMatchObject({
    exitCode: 5,
    stderr: `error: ${server.gateway} answered with HTTP 404, as no control plane does (choose another with --gateway or AGYN_GATEWAY)\n`,
  });
});

test.each(["HTTP/2", "HTTP/1.1"])(
  "a gateway behind TLS that speaks %s is used, with its authority known",
  async (protocol) => {
    const { cert, key, certFile } = await createCertificate("127.0.0.1");
    const adapter = connectNodeAdapter({
      routes: (router) => router.rpc(RunnersService.method.listRunners, () => ({ runners: [{ name: "seen" }] })),
    });
    const server =
      protocol === "HTTP/2" ? createSecureServer({ cert, key }, adapter) : createHttpsServer({ cert, key }, adapter);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const argv = ["--gateway", `https://127.0.0.1:${(server.address() as AddressInfo).port}`, "runners", "list"];
    const known = await run([...argv, "--ca-file", certFile]);
    const unknown = await run(argv);
    server.close();
    expect(known).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("seen") });
    expect(unknown).toMatchObject({ exitCode: 5, stderr: expect.stringContaining("self-signed certificate") });
  },
);

test("a command that goes both ways at once says what it needs behind a proxy that speaks HTTP/1.1 only", async () => {
  const { cert, key, certFile } = await createCertificate("127.0.0.1");
  const server = createHttpsServer({ cert, key }, connectNodeAdapter({ routes: () => undefined }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const gateway = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const told = await run(["--gateway", gateway, "--ca-file", certFile, "exec", "nightly", "--", "true"]);
  server.close();
  expect(told).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("needs HTTP/2 up to the control plane") });
});

test("a gateway named with the wrong one of http and https is told so", async () => {
  const { cert, key } = await createCertificate("127.0.0.1");
  const server = createSecureServer({ cert, key });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await using clear = await startServer(() => undefined);

  const inClear = await run([
    "--gateway",
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    "orgs",
    "list",
  ]);
  const inTls = await run(["--gateway", clear.gateway.replace("http:", "https:"), "orgs", "list"]);
  server.close();

  expect(inClear).toMatchObject({ exitCode: 5, stderr: expect.stringContaining("(is it https:// there?)") });
  expect(inTls).toMatchObject({ exitCode: 5, stderr: expect.stringContaining("(is it http:// there?)") });
});
