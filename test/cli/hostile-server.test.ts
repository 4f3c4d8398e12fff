import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { parse } from "yaml";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Availability, RunnerSchema, RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { LogsService, LogStream } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { Verdict } from "../../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { expectHarmless, hostile } from "./support/hostile-text.ts";
import { run } from "./support/terminal.ts";
import { startServer, type TestServer } from "./support/server.ts";

const secretLeak = "\u001b[21t\u001bP+q544e\u001b\\\u001bcx";

/** Also times that no calendar knows, unless it is to be JSON. */
function hostileRunner(hasTimes: boolean): MessageInitShape<typeof RunnerSchema> {
  return {
    id: `rnr_${secretLeak}`,
    name: `../../${hostile}`,
    scope: { kind: { case: "organization", value: hostile } as const },
    labels: { [hostile]: hostile },
    reportedLabels: { [hostile]: hostile },
    effectiveCapabilities: [hostile],
    capabilities: [hostile, secretLeak],
    availabilityReason: hostile,
    host: hostile,
    version: hostile,
    executors: [hostile],
    isolation: hostile,
    identity: { id: hostile, uri: hostile, generation: 9n, ...(hasTimes && { expireTime: { seconds: 10n ** 17n } }) },
    ...(hasTimes && { heartbeatTime: { seconds: -(10n ** 17n) } }),
    capacity: { [hostile]: 3, slots: Number.NaN },
    status: 99 as RunnerStatus,
    availability: 77 as Availability,
  };
}

const runner = hostileRunner(true);
const plainRunner = hostileRunner(false);

function hostileRoutes(router: ConnectRouter): void {
  router.service(RunnersService, {
    listRunners: ({ labels }) => ({ runners: [labels["plain"] === undefined ? runner : plainRunner] }),
    getRunner: () => ({ runner }),
    pauseRunner: () => ({ runner }),
    registerRunner: () => ({ runner, serviceToken: `agyn_rt_${hostile}` }),
    deleteRunner: () => {
      const details = [
        { desc: ErrorInfoSchema, value: { reason: "NO_RUNNER", domain: "agyn", metadata: { workload_id: hostile } } },
      ];
      throw new ConnectError(hostile, Code.FailedPrecondition, undefined, details);
    },
    async *watchRunners() {
      yield { runners: [runner], bookmark: "1", snapshotComplete: true };
      throw new ConnectError(hostile, Code.PermissionDenied);
    },
  });
  router.service(OrchestratorService, {
    explain: () => ({
      explanation: {
        verdict: Verdict.NEVER,
        text: hostile,
        smallestChange: hostile,
        nearest: { runnerName: hostile, lacks: [hostile] },
        runners: [{ runnerName: hostile, rules: [{ rule: hostile, text: hostile }] }],
      },
    }),
  });
  router.service(LogsService, {
    readLog: () => ({ lines: logLines(), ended: true }),
    async *followLog() {
      yield { lines: logLines(), nextLine: 9n };
    },
  });
}

function logLines() {
  const streams = [LogStream.STDOUT, LogStream.STDERR, LogStream.SYSTEM, 42 as LogStream];
  return streams.map((stream, index) => ({
    number: BigInt(index),
    stream,
    content: Buffer.from(`\u001b[31mred ${hostile}${secretLeak}`),
  }));
}

async function withServer<T>(act: (server: TestServer) => Promise<T>): Promise<T> {
  await using server = await startServer(hostileRoutes);
  return await act(server);
}

const lines: readonly (readonly string[])[] = [
  ["runners", "list"],
  ["runners", "list", "-o", "wide"],
  ["runners", "list", "-l", "plain=", "-o", "json"],
  ["runners", "list", "-l", "plain=", "-o", "yaml"],
  ["runners", "list", "-o", "name"],
  ["runners", "get", "x"],
  ["runners", "pause", "x"],
  ["runners", "register", "x"],
  ["runners", "delete", "x", "--yes"],
  ["runners", "watch"],
  ["explain"],
  ["workloads", "logs", "x"],
  ["workloads", "logs", "x", "--follow", "--timestamps"],
  ["workloads", "logs", "x", "-o", "json"],
];

test.each(lines.map((argv) => [argv.join(" "), argv] as const))(
  "bad-51: %s lets no text of a server drive the terminal",
  async (_name, argv) => {
    await withServer(async ({ gateway }) => {
      for (const columns of [40, undefined]) {
        const { stdout, stderr } = await run(["--gateway", gateway, ...argv], columns === undefined ? {} : { columns });
        expect(stdout + stderr).not.toBe("");
        expectHarmless(stdout);
        expectHarmless(stderr);
      }
    });
  },
);

test("bad-51: JSON and YAML lose nothing of a hostile name", async () => {
  await withServer(async ({ gateway }) => {
    const json = await run(["--gateway", gateway, "runners", "list", "-l", "plain=", "-o", "json"]);
    const yaml = await run(["--gateway", gateway, "runners", "list", "-l", "plain=", "-o", "yaml"]);
    expect(JSON.parse(json.stdout)).toMatchObject([
      { name: runner.name, id: runner.id, labels: { [hostile]: hostile } },
    ]);
    expect(parse(yaml.stdout)).toMatchObject([{ name: runner.name, id: runner.id, labels: { [hostile]: hostile } }]);
  });
});

test("bad-51: a row stays one line, whatever its cells hold", async () => {
  await withServer(async ({ gateway }) => {
    const { stdout } = await run(["--gateway", gateway, "runners", "list"], { columns: 80 });
    expect(stdout.trimEnd().split("\n")).toHaveLength(2);
  });
});

test("bad-51: the printed next command takes no path and no shell order from the server", async () => {
  await withServer(async ({ gateway }) => {
    const { stdout } = await run(["--gateway", gateway, "runners", "register", "x"]);
    expect(stdout).toContain(`  ./agyn-runner --gateway ${gateway} --token-file runner.token\n`);
  });
});

test("bad-51: an error's hint quotes what the server names", async () => {
  await withServer(async ({ gateway }) => {
    const { stderr, exitCode } = await run(["--gateway", gateway, "runners", "delete", "x", "--yes"]);
    expect(exitCode).toBe(6);
    expect(stderr).toMatch(/agynctl workloads explain '.*\$\(id\)'\)\n$/);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

test("bad-51: without a terminal, or with NO_COLOR, a log has no colours either", async () => {
  await withServer(async ({ gateway }) => {
    const argv = ["--gateway", gateway, "workloads", "logs", "x"];
    const shown = await run(argv, { columns: 80 });
    const plain = await run(argv, { columns: 80, environment: { NO_COLOR: "1" } });
    const piped = await run(argv);
    expect(shown.stdout).toContain("\u001b[31mred");
    expect(plain.stdout + plain.stderr + piped.stdout + piped.stderr).not.toContain("\u001b");
  });
});

test("bad-51: raw bytes go to no terminal", async () => {
  await withServer(async ({ gateway }) => {
    const argv = ["--gateway", gateway, "workloads", "logs", "x", "--raw"];
    expect(await run(argv, { columns: 80 })).toMatchObject({ exitCode: 2, stdout: "" });
    expect((await run(argv)).stdout).toContain(`\u001b[31mred ${hostile}`);
  });
});

test("bad-51: pages without end and without items are given up", async () => {
  let calls = 0;
  const routes = (router: ConnectRouter) =>
    router.rpc(RunnersService.method.listRunners, () => {
      calls += 1;
      return { nextPageToken: "again" };
    });
  await using server = await startServer(routes);
  const { exitCode, stderr } = await run(["--gateway", server.gateway, "runners", "list"]);
  expect({ exitCode, calls }).toEqual({ exitCode: 0, calls: 100 });
  expect(stderr).toContain("there are more");
});

test("bad-51: an answer without what the contract promises is an error, not a crash", async () => {
  await using server = await startServer((router) => router.rpc(RunnersService.method.getRunner, () => ({})));
  const { exitCode, stderr } = await run(["--gateway", server.gateway, "runners", "get", "x"]);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 1,
    stderr: "error: the server's answer lacks the runner: is it another version?\n",
  });
});

test("a call that is never answered ends at its time-out", async () => {
  const routes = (router: ConnectRouter) =>
    router.rpc(RunnersService.method.getRunner, async (_request, { signal }) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      return {};
    });
  await using server = await startServer(routes);
  const argv = ["--gateway", server.gateway, "--request-timeout", "300ms", "runners", "get", "x"];
  const { exitCode, stderr } = await run(argv);
  expect(exitCode).toBe(5);
  expect(stderr).toContain("allow more with --request-timeout");
});
