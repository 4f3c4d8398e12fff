import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { longFlag, type CommandShape } from "../../cli/src/command-shape.ts";
import { commands } from "../../cli/src/commands.ts";
import { outputFormats } from "../../cli/src/output.ts";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { services } from "../../server/src/api/permissions.ts";
import { expectHarmless, hostile } from "./support/hostile-text.ts";
import { hostileMessage } from "./support/hostile-message.ts";
import { startServer, type TestServer } from "./support/server.ts";
import { run, type Ran } from "./support/terminal.ts";

/** Answers every method that a client calls in one way; a stream says its message and is then refused. */
function answerAll(router: ConnectRouter): void {
  for (const method of services.flatMap(({ methods }) => methods)) {
    if (method.methodKind === "unary") router.rpc(method as DescMethodUnary, () => answer(method.output));
    if (method.methodKind !== "server_streaming") continue;
    router.rpc(method as DescMethodServerStreaming, async function* () {
      yield answer(method.output);
      throw refusal();
    });
  }
}

/** An error with hostile text wherever an error holds text. */
function refusal(): ConnectError {
  const error = new ConnectError(hostile, Code.PermissionDenied);
  for (const desc of [ErrorInfoSchema, RetryInfoSchema])
    error.details.push({ desc, value: hostileMessage(desc, hostile, 0) as never });
  return error;
}

function violation(): ConnectError {
  const error = new ConnectError(hostile, Code.InvalidArgument);
  error.details.push({ desc: BadRequestSchema, value: hostileMessage(BadRequestSchema, hostile, 0) as never });
  return error;
}

/** How the server answers every call; a test chooses. */
const answers = {
  "every field": (schema: DescMessage) => hostileMessage(schema, hostile, turn),
  refusal: (): Message => {
    throw refusal();
  },
  violation: (): Message => {
    throw violation();
  },
} as const;
let answer: (schema: DescMessage) => Message = answers["every field"];
/** Which of the fields that exclude each other are set. */
let turn = 0;
let server: TestServer;

beforeAll(async () => {
  server = await startServer(answerAll);
});
afterAll(() => server[Symbol.asyncDispose]());

/** What a command needs beside a word for each of its arguments. */
const rest: Record<string, readonly string[]> = {
  run: ["pipelines/build.yaml"],
  "runs cancel": ["x"],
  "runs rerun": ["--all"],
  "queue move": ["--top"],
  "queue cancel": ["x"],
  "queue pause": ["--reason", "x"],
  "projects update": ["--weight", "2"],
  "members set": ["member"],
  "users update": ["--cluster-admin", "no"],
  "runners update": ["--label", "a=b"],
  "workloads start": ["--", "true"],
};

/** Every way to call a command whose answer it shows: once, and followed where it can be. */
function linesOf({ path, arguments: args, options }: CommandShape): string[][] {
  const name = path.join(" ");
  const required = Object.entries(args).filter(([key, { kind }]) => kind === "required" && key !== "role");
  const flags = ["yes", "limit"].flatMap((key) =>
    key in options ? [longFlag(key), ...(key === "limit" ? ["2"] : [])] : [],
  );
  const line = (...more: string[]) => [...path, ...flags, ...more, ...required.map(() => "x"), ...(rest[name] ?? [])];
  return "follow" in options ? [line(), line("--follow")] : [line()];
}

const local = ["completion", "help"];
const asking = commands
  .filter(({ path }) => !local.includes(path[0]!))
  .map((one) => [one.path.join(" "), one] as const);

/** Calls, until it would go round again, and looks at what came out. */
async function harmlessRun(argv: readonly string[], columns?: number): Promise<Ran> {
  const interrupt = new AbortController();
  const onStderr = (text: string): void => (text.includes("tried again") ? interrupt.abort() : undefined);
  const wide = columns === undefined ? {} : { columns };
  const ran = await run(["--gateway", server.gateway, ...argv], { ...wide, signal: interrupt.signal, onStderr });
  expectHarmless(ran.stdout);
  expectHarmless(ran.stderr);
  return ran;
}

test.each(asking)("bad-51: %s lets no field of any answer drive the terminal", async (_name, command) => {
  answer = answers["every field"];
  for (const line of linesOf(command)) {
    for (turn of [0, 1, 2]) {
      const { stdout, stderr } = await harmlessRun(line, 60);
      expect(stdout + stderr).not.toBe("");
    }
    for (const format of outputFormats) await harmlessRun(["-o", format, ...line]);
  }
});

test("bad-51: what the server says is shown, less what drives a terminal", async () => {
  answer = answers["every field"];
  for (const format of outputFormats) {
    expect((await harmlessRun(["-o", format, "runners", "get", "x"])).stdout, format).toContain("row;$(id)");
  }
});

test.each(asking)("bad-51: %s tells any error in one harmless line", async (_name, command) => {
  for (const way of [answers.refusal, answers.violation]) {
    answer = way;
    for (const line of linesOf(command)) {
      const { exitCode, stderr } = await harmlessRun(line, 60);
      expect(exitCode).not.toBe(0);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  }
});
