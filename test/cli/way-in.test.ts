import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { connect } from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { spawn } from "@lydell/node-pty";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { readProcesses } from "../../runner/src/executors/process-tree.ts";
import { createWorld, until, type World } from "../support/world.ts";
import { connectRunner, patientSettings, startScript } from "../tunnels/support.ts";
import { run, type Ran, type TerminalOptions } from "./support/terminal.ts";

let world: World;
let directory: string;
let workload: string;
let port: number;

/** Greets, and gives back what it gets, to its end. */
const server = `node -e 'require("net").createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, "127.0.0.1", function () { require("fs").writeFileSync("port", String(this.address().port)) })' &
until [ -s port ]; do sleep 0.05; done
cat port >&2
sleep 600`;

beforeAll(async () => {
  world = await createWorld(patientSettings);
  await connectRunner(world, "first");
  workload = await startScript(world.admin, server);
  port = await until("the server of the workload listens", async () => {
    const { lines } = await world.admin.logs.readLog({ workload });
    return Number(Buffer.from(lines[0]?.content ?? [])) || undefined;
  });
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "agyn-way-in-"));
  chmodSync(directory, 0o755);
  return () => rmSync(directory, { recursive: true, force: true });
});
afterAll(() => world[Symbol.asyncDispose]());

function agynctl(argv: readonly string[], options: TerminalOptions = {}): Promise<Ran> {
  const environment = { AGYN_GATEWAY: world.server.gateway, AGYN_TOKEN: world.adminToken, ...options.environment };
  return run(argv, { cwd: directory, ...options, environment });
}

/** Runs agynctl on a terminal of its own, and shows how it leaves that. */
function onTerminal(argv: readonly string[]) {
  const main = join(import.meta.dirname, "../../cli/src/main.ts");
  const words = [process.execPath, main, "--gateway", world.server.gateway, ...argv].map((word) => `'${word}'`);
  const env = { ...process.env, AGYN_TOKEN: world.adminToken, TERM: "xterm" };
  const line = `${words.join(" ")}; echo "left with $?"; stty -a`;
  const pty = spawn("sh", ["-c", line], { cols: 93, rows: 27, cwd: directory, env });
  let text = "";
  pty.onData((piece) => (text += piece));
  const exited = new Promise((resolve) => pty.onExit(resolve));
  return { pty, exited, shown: () => text };
}

test("exec shows both outputs apart, and ends with the command's exit code", async () => {
  expect(await agynctl(["exec", workload, "--", "sh", "-c", "echo out; echo err >&2; exit 7"])).toEqual({
    exitCode: 7,
    stdout: "out\n",
    stderr: "err\n",
  });
});

test("exec -i hands the standard input on, and without it the command finds none", async () => {
  expect(await agynctl(["exec", "-i", workload, "wc", "-c"], { input: "twelve bytes" })).toMatchObject({
    stdout: "12\n",
  });
  expect(await agynctl(["exec", workload, "wc", "-c"], { input: "twelve bytes" })).toMatchObject({ stdout: "0\n" });
});

test("exec -it is a terminal: raw here, as large there, and as it was when the command has ended", async () => {
  const { shown, pty, exited } = onTerminal(["exec", "-it", workload, "--", "sh"]);
  await until("the shell is there", () => shown().includes("$ ") || shown().includes("# "));
  pty.write("stty size\r");
  await until("its size is ours", () => shown().includes("27 93"));
  pty.resize(101, 33);
  pty.write("\u0003");
  await until("the new size has arrived", () => {
    pty.write("stty size\r");
    return shown().includes("33 101");
  });
  pty.write("exit 9\r");
  await exited;
  expect(shown()).toMatch(/left with 9\r\n/);
  expect(shown().slice(shown().indexOf("left with"))).toMatch(/[^-]icanon.*[^-]echo /s);
});

test.each(["TERM", "HUP"])("a terminal that was raw is not any more when SIG%s ends exec -it", async (signal) => {
  const { shown, pty, exited } = onTerminal(["exec", "-it", workload, "--", "sh", "-c", "echo inside; sleep 600"]);
  await until("the command is there", () => shown().includes("inside"));
  const agynctlProcess = readProcesses().find(({ parentPid }) => parentPid === pty.pid);
  process.kill(agynctlProcess!.pid, `SIG${signal}`);
  await exited;
  expect(shown()).toMatch(/left with \d+\r\n[^]*[^-]icanon.*[^-]echo /);
});

test("port-forward carries bytes both ways, to a half-closed end, 64 MB and more connections at once", async () => {
  const interrupt = new AbortController();
  const listening = Promise.withResolvers<number>();
  const forwarding = agynctl(["port-forward", workload, `:${port}`, "-o", "json"], {
    signal: interrupt.signal,
    onStdout: (text) => listening.resolve(Number(/127\.0\.0\.1:(\d+)/.exec(text)?.[1])),
  });
  const here = await Promise.race([
    listening.promise,
    forwarding.then(({ stderr }) => Promise.reject(new Error(stderr))),
  ]);
  const bytes = randomBytes(64 * 1024 * 1024);
  const digests = await Promise.all(
    [bytes, bytes.subarray(0, 5), bytes.subarray(7, 99_999)].map((sent) => echo(here, sent)),
  );
  expect(digests).toEqual([bytes, bytes.subarray(0, 5), bytes.subarray(7, 99_999)].map(sha256));
  interrupt.abort();
  expect(await forwarding).toMatchObject({ exitCode: 130, stderr: "" });
});

/** The digest of what comes back for these bytes, once the sender has said that nothing follows. */
async function echo(at: number, sent: Buffer): Promise<string> {
  const socket = connect({ port: at, host: "127.0.0.1", allowHalfOpen: true });
  const hash = createHash("sha256");
  socket.on("data", (bytes: Buffer) => hash.update(bytes));
  socket.end(sent);
  await once(socket, "end");
  return hash.digest("hex");
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

test("a port on which nobody listens is told, and the forward goes on", async () => {
  const interrupt = new AbortController();
  const onStdout = (text: string): void => {
    const at = Number(/127\.0\.0\.1:(\d+)/.exec(text)?.[1]);
    connect(at, "127.0.0.1").on("error", () => undefined);
  };
  const onStderr = (text: string): void => (text.includes("does not answer") ? interrupt.abort() : undefined);
  const { exitCode, stderr } = await agynctl(["port-forward", workload, ":1"], {
    signal: interrupt.signal,
    onStdout,
    onStderr,
  });
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 130,
    stderr: expect.stringContaining("port 1 of the workload"),
  });
});

test("cp brings a file and a folder out, whole, with what may be executed, and leaves links out", async () => {
  const make = `mkdir -p out/deep/er out/empty; seq 100000 >out/report; printf '#!/bin/sh\\n' >out/deep/er/run; chmod 700 out/deep/er/run; ln -s /etc/passwd out/link; printf %s "$(printf 'n%.0s' $(seq 200))" >"out/$(printf 'n%.0s' $(seq 200))"`;
  await agynctl(["exec", workload, "sh", "-c", make]);
  const file = await agynctl(["cp", `${workload}:out/report`, "."]);
  expect(file).toMatchObject({ exitCode: 0, stderr: "" });
  expect(readFileSync(join(directory, "report"), "utf8")).toMatch(/^1\n2\n[^]*\n100000\n$/);
  const folder = await agynctl(["cp", `${workload}:out`, "copied", "-o", "json"]);
  expect(JSON.parse(folder.stdout)).toMatchObject({ files: 3, leftOut: [{ path: "link", why: "a symbolic link" }] });
  expect(statSync(join(directory, "copied/deep/er/run")).mode & 0o100).toBe(0o100);
  expect(existsSync(join(directory, "copied/empty"))).toBe(true);
  expect(existsSync(join(directory, "copied/link"))).toBe(false);
  expect(readFileSync(join(directory, "copied", "n".repeat(200)), "utf8")).toBe("n".repeat(200));
});

test("cp takes a file and a folder in, as the workload's user", async () => {
  mkdirSync(join(directory, "in/deep"), { recursive: true });
  mkdirSync(join(directory, "in/empty"));
  writeFileSync(join(directory, "in/deep/run"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  writeFileSync(join(directory, "in/ünï"), "names\n");
  symlinkSync("/etc/passwd", join(directory, "in/link"));
  writeFileSync(Buffer.concat([Buffer.from(join(directory, "in/odd")), Buffer.from([0xff])]), "");
  expect(await agynctl(["cp", "in", `${workload}:renamed`])).toMatchObject({
    exitCode: 0,
    stderr: expect.stringMatching(/renamed\/link is a symbolic link[^]*renamed\/odd\uFFFD is not named in UTF-8/),
  });
  expect(await agynctl(["cp", "in/ünï", `${workload}:renamed`])).toMatchObject({ exitCode: 0, stderr: "" });
  const look = "renamed/deep/run; cat renamed/ünï; ls renamed; stat -c %u renamed/deep/run; id -u";
  const { stdout } = await agynctl(["exec", workload, "sh", "-c", look]);
  const lines = stdout.trim().split("\n");
  expect(lines.slice(0, -2)).toEqual(["ran", "names", "deep", "empty", "ünï"]);
  expect(lines.at(-2)).toBe(lines.at(-1));
});
