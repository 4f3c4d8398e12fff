import { afterAll, beforeAll, expect, test } from "vitest";
import { createWorld, type World } from "../support/world.ts";
import { connectRunner, converse, exec, patientSettings, startScript } from "./support.ts";

let world: World;
let workload: string;

beforeAll(async () => {
  world = await createWorld(patientSettings);
  await connectRunner(world, "first");
  workload = await startScript(world.admin, "echo $$ >pid; sleep 600", {
    environment: [{ name: "KEY", value: "s3cret-value", secret: true }],
  });
});
afterAll(() => world[Symbol.asyncDispose]());

test("a command runs in the workload's directory and environment, as its user", async () => {
  const script = 'cat pid; basename "$PWD"; echo "$KEY"; id -u; stat -c %u pid';
  const { stdout, exitCode } = await exec(world.admin, workload, ["sh", "-c", script]);
  const [pid, directory, key, uid, owner] = stdout.trim().split("\n");
  expect({ exitCode, directory, key }).toEqual({ exitCode: 0, directory: "workspace", key: "s3cret-value" });
  expect(Number(pid)).toBeGreaterThan(1);
  expect(uid).toBe(owner);
});

test("outputs stay apart, and the exit code comes back", async () => {
  expect(await exec(world.admin, workload, ["sh", "-c", "echo out; echo err >&2; exit 7"])).toEqual({
    exitCode: 7,
    signal: "",
    stdout: "out\n",
    stderr: "err\n",
  });
});

test("what is said goes in, byte by byte, until its end is said; what comes back still comes", async () => {
  const conversation = converse(world.admin, workload, { arguments: ["sh", "-c", "cat; echo done"] });
  conversation.type("first\n");
  await conversation.hear("first\n");
  conversation.say({ case: "data", value: Uint8Array.from({ length: 256 }, (_, byte) => byte) });
  conversation.say({ case: "end", value: {} });
  expect(await conversation.ended).toEqual({ exitCode: 0, signal: "" });
  expect(conversation.stdout()).toBe(
    `first\n${Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString()}done\n`,
  );
});

test("a command has a real terminal, whose size follows", async () => {
  const conversation = converse(world.admin, workload, {
    arguments: ["sh"],
    terminal: { columns: 91, rows: 31 },
    terminalType: "vt100",
  });
  conversation.type("tty; echo $TERM; stty size\n");
  await conversation.hear("31 91");
  expect(conversation.stdout()).toMatch(/\/dev\/pts\/\d+\r\nvt100\r\n31 91\r\n/);
  conversation.say({ case: "resize", value: { columns: 120, rows: 40 } });
  conversation.type("stty size; exit 3\n");
  await conversation.hear("40 120");
  expect(await conversation.ended).toMatchObject({ exitCode: 3 });
});

test("Ctrl-C on the terminal interrupts the command, and only that", async () => {
  const conversation = converse(world.admin, workload, {
    arguments: ["sh", "-c", "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done"],
    terminal: { columns: 80, rows: 24 },
  });
  await conversation.hear("ready");
  conversation.type("\u0003");
  expect(await conversation.ended).toMatchObject({ exitCode: 5 });
  expect(conversation.stdout()).toContain("caught");
});

test("a signal reaches the command; one that it does not survive is told", async () => {
  const conversation = converse(world.admin, workload, {
    arguments: ["sh", "-c", "trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done"],
  });
  await conversation.hear("ready");
  conversation.say({ case: "signal", value: "USR1" });
  await conversation.hear("got it");
  conversation.say({ case: "signal", value: "KILL" });
  expect(await conversation.ended).toEqual({ exitCode: 137, signal: "SIGKILL" });
});
