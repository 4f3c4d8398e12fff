import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serveRepository, type ServedRepository } from "../../demo/repository.ts";
import { untilRunEnded } from "../support/runs.ts";
import { createWorld, until, type World } from "../support/world.ts";
import { run, type Ran, type TerminalOptions } from "./support/terminal.ts";

let world: World;
let directory: string;
let repository: ServedRepository;

const build = `
inputs:
  target: { default: debug }
jobs:
  build:
    env: { TARGET: '\${{ inputs.target }}' }
    run: echo "building $TARGET"; cat greeting
  test:
    needs: build
    matrix: { size: [small, large] }
    env: { SIZE: '\${{ matrix.size }}' }
    run: echo "testing $SIZE"
`;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "agyn-cli-runs-"));
  chmodSync(directory, 0o755);
  repository = await serveRepository(createRepository(), directory);
  world = await createWorld({ lease: "3s", heartbeat: "500ms" });
  world.startRunner(await world.register("builder"), { slots: 4 });
  await until("the runner is enrolled", async () => {
    const { stdout } = await agynctl(["runners", "list", "--status", "enrolled", "-o", "name"]);
    return stdout !== "";
  });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await repository.close();
  rmSync(directory, { recursive: true, force: true });
});

function createRepository(): string {
  const source = join(directory, "source");
  mkdirSync(join(source, "pipelines"), { recursive: true });
  writeFileSync(join(source, "pipelines/build.yaml"), build);
  writeFileSync(join(source, "greeting"), "from the repository\n");
  const identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
  for (const words of [
    ["init", "-q", "-b", "main"],
    ["add", "."],
    [...identity, "commit", "-q", "-m", "first"],
  ])
    execFileSync("git", words, { cwd: source });
  return source;
}

function agynctl(argv: readonly string[], options: TerminalOptions = {}): Promise<Ran> {
  const environment = { AGYN_GATEWAY: world.server.gateway, AGYN_TOKEN: world.adminToken, ...options.environment };
  return run(argv, { cwd: directory, ...options, environment });
}

/** Writes a pipeline and answers its path as a user names it. */
function pipeline(name: string, text: string): string {
  writeFileSync(join(directory, name), text);
  return `./${name}`;
}

async function started(...argv: string[]): Promise<string> {
  const { stdout } = await agynctl(["run", ...argv, "-o", "json"]);
  return (JSON.parse(stdout) as { number: string }).number;
}

test("a project's pipeline runs at a ref, and is followed to its end", async () => {
  const created = await agynctl(["projects", "create", "web", "--source", repository.url]);
  expect(created).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^created project web \(prj_\w+\)\n$/) });
  const line = "run web pipelines/build.yaml --ref main --input target=release --follow";

  const { exitCode, stdout, stderr } = await agynctl(line.split(" "));

  expect(stderr).toMatch(/^build: running on builder$/m);
  expect(stderr).toMatch(/^run \d+ succeeded, after /m);
  expect(stdout).toMatch(/^build +│ building release\nbuild +│ from the repository$/m);
  expect(stdout).toMatch(/^test \(small\) +│ testing small$/m);
  expect(stdout).toMatch(/^JOB +STATE +WHY +RUNNER +RAN +WAITED +TRY\nbuild +succeeded +builder /m);
  expect(exitCode).toBe(0);
});

test("a local file is uploaded with its run; the run fails with 1, and tells which job why", async () => {
  const path = pipeline(
    "fails.yaml",
    "jobs:\n  build: { run: 'echo no >&2; exit 3' }\n  test: { needs: build, run: 'true' }\n",
  );
  const { exitCode, stdout, stderr } = await agynctl(["run", path, "--follow"]);
  expect(stderr).toMatch(/^build │ no$/m);
  expect(stderr).toMatch(/^build: failed after \S+: exit code 3$/m);
  expect(stdout).toMatch(/^test +skipped +/m);
  expect(exitCode).toBe(1);
});

test("a run with a mistake starts nothing and names each with its line", async () => {
  const path = pipeline("wrong.yaml", "jobs:\n  build: { rum: 'true' }\n");
  expect(await agynctl(["run", path])).toMatchObject({
    exitCode: 2,
    stdout: "",
    stderr: expect.stringMatching(/^error: wrong.yaml:2:\d+: .*\n$/),
  });
});

test("what is no pipeline is refused with what to do", async () => {
  const cases = [
    ["web", /there is no file web \(if it is a project, name a pipeline, too: agynctl run web pipelines/],
    ["./nothing.yaml", /there is no file \.\/nothing\.yaml/],
    ["./source", /\.\/source is a directory/],
  ] as const;
  for (const [source, expected] of cases)
    expect(await agynctl(["run", source])).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(expected) });
});

test("the same idempotency key starts one run", async () => {
  const path = pipeline("once.yaml", "jobs:\n  one: { run: 'true' }\n");
  const argv = ["run", path, "--idempotency-key", "once-1", "-o", "name"];
  expect((await agynctl(argv)).stdout).toBe((await agynctl(argv)).stdout);
});

test("Ctrl-C detaches: the run goes on, the way back is told and leads there", async () => {
  const path = pipeline("long.yaml", "jobs:\n  wait: { run: 'echo ready; exec sleep 60' }\n");
  const interrupt = new AbortController();
  const onStdout = (text: string): void => (text.includes("ready") ? interrupt.abort() : undefined);
  const { exitCode, stderr } = await agynctl(["run", path, "--follow"], { signal: interrupt.signal, onStdout });
  const [, number = ""] = /agynctl runs logs (\d+) --follow/.exec(stderr) ?? [];

  const following = agynctl(["runs", "logs", number, "--follow"]);
  const cancelled = await agynctl(["runs", "cancel", number, "--grace", "100ms", "--reason", "enough"]);

  expect(exitCode).toBe(130);
  expect(cancelled).toMatchObject({ exitCode: 0, stderr: "1 run cancelled\n" });
  expect(await following).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/^wait │ ready$/m) });
});

test("a run is listed, shown with its jobs, and its logs are read by job, by attempt and as JSON", async () => {
  const number = await started(pipeline("build.yaml", build.replace("; cat greeting", "")), "--label", "team=web");
  await untilRunEnded(world.admin, number);
  const steps: readonly (readonly [string, RegExp])[] = [
    ["runs list --label team=web", new RegExp(`^RUN +STATE[^\\n]*\\n${number} +succeeded +build +3 succeeded`)],
    [`runs get ${number}`, /state: +succeeded\n[^]*\n\nJOB +STATE[^]*\ntest \(large\) +succeeded/],
    [`runs jobs ${number} -o name`, /^(job_\w+\n){3}$/],
    [`jobs get ${number}/build`, /job: +\d+\/build\n[^]*runner: +builder/],
    [
      `runs logs ${number}`,
      /^build +│ building debug\ntest \(small\) │ testing small\ntest \(large\) │ testing large\n$/,
    ],
    [`runs logs ${number} --job build`, /^building debug\n$/],
    [`runs logs ${number} --job test --attempt 1 --tail 1`, /^test \(small\) │ testing small\ntest/],
    [`runs logs ${number} --job build -o json`, /"job": "build", .*"text": "building debug"/],
    [`runs list --state succeeded --project web -o json`, /"projectName": "web"/],
  ];
  for (const [line, expected] of steps) {
    const ran = await agynctl(line.split(" "));
    expect(ran, line).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(expected) });
  }
  const unknown = await agynctl(["runs", "logs", number, "--job", "tset"]);
  expect(unknown).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("it has build, test (small)") });
});

test("what failed is run again as attempt 2, and attempt 1 stays", async () => {
  const text =
    "jobs:\n  good: { run: echo kept }\n  bad: { run: 'echo $AGYN_RUN_ATTEMPT; test $AGYN_RUN_ATTEMPT = 2' }\n";
  const number = await started(pipeline("again.yaml", text));
  await untilRunEnded(world.admin, number);

  const again = await agynctl(["runs", "rerun", number, "--failed", "--follow"]);
  const first = await agynctl(["runs", "logs", number, "--job", "bad", "--attempt", "1"]);
  const one = await agynctl(["runs", "rerun", number, "--job", "bad"]);

  expect(again.stdout).toMatch(/^bad +│ 2$[^]*^good +succeeded, kept/m);
  expect(again.exitCode).toBe(0);
  expect(first.stdout).toBe("1\n");
  expect(one.stdout).toMatch(/^run \d+ is in attempt 3: agynctl runs logs \d+ --follow\n$/);
  expect(await agynctl(["runs", "rerun", number])).toMatchObject({ exitCode: 2 });
});

test("runs are watched until Ctrl-C, and the jobs of one", async () => {
  const path = pipeline("watched.yaml", "name: watched\njobs:\n  one: { run: 'true' }\n");
  const watchUntil = (word: string, ...argv: string[]): Promise<Ran> => {
    const interrupt = new AbortController();
    const onStdout = (text: string): void => (text.includes(word) ? interrupt.abort() : undefined);
    return agynctl(["runs", "watch", ...argv, "-o", "json"], { signal: interrupt.signal, onStdout });
  };
  const all = watchUntil('"name": "watched"');
  const one = await watchUntil("JOB_STATE_SUCCEEDED", await started(path));
  expect([(await all).exitCode, one.exitCode]).toEqual([130, 130]);
  for (const line of one.stdout.trimEnd().split("\n")) expect(JSON.parse(line)).toMatchObject({ name: "one" });
});

test("a project's life: list, get, update, delete", async () => {
  const steps: readonly (readonly [string, RegExp])[] = [
    ["projects create short --weight 2 --max-running 1 --retention-days 7", /^created project short/],
    ["projects list", /short +prj_\w+ +2 +1 /],
    [
      "projects update short --name brief --weight 3 --ref main",
      /^updated project brief: name, default_ref, weight\n$/,
    ],
    ["projects get brief", /weight: +3\nrunning jobs at most: +1\nended runs stay: +7 days/],
    ["projects delete brief --yes", /^deleted project brief \(prj_/],
  ];
  for (const [line, expected] of steps) {
    const ran = await agynctl(line.split(" "));
    expect(ran, line).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(expected) });
  }
  expect(await agynctl(["projects", "update", "web"])).toMatchObject({ exitCode: 2 });
});
