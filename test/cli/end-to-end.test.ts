import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createWorld, until, untilEnded, type World } from "../support/world.ts";
import { run, type Ran, type TerminalOptions } from "./support/terminal.ts";

let world: World;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "agyn-cli-"));
  chmodSync(directory, 0o755);
  // A busy machine must not make runners look away that are not.
  world = await createWorld({ lease: "3s", heartbeat: "500ms" });
  const [first, second] = [
    await world.register("first", { labels: { region: "eu" } }),
    await world.register("second", { labels: { region: "us" } }),
  ];
  world.startRunner(first, { slots: 8 });
  world.startRunner(second, { slots: 8 });
  await until(
    "both runners are enrolled",
    async () => {
      const { stdout } = await agynctl(["runners", "list", "--status", "enrolled", "-o", "name"]);
      return stdout.trim().split("\n").length === 2;
    },
    50_000,
  );
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

function agynctl(argv: readonly string[], options: TerminalOptions = {}): Promise<Ran> {
  const environment = { AGYN_GATEWAY: world.server.gateway, AGYN_TOKEN: world.adminToken, ...options.environment };
  return run(argv, { ...options, environment });
}

test("runners are listed as a table, as JSON and as names", async () => {
  const table = await agynctl(["runners", "list"], { columns: 120, environment: { NO_COLOR: "1" } });
  const json = await agynctl(["runners", "list", "--label", "region=eu", "-o", "json"]);
  expect(table.stdout).toMatch(/^NAME +ID +STATE +SCOPE +SLOTS/);
  expect(table.stdout).toMatch(/ organization /);
  expect(table.stdout).toMatch(/first +rnr_\S+ +enrolled/);
  expect(JSON.parse(json.stdout)).toMatchObject([
    { name: "first", status: "RUNNER_STATUS_ENROLLED", labels: { region: "eu" } },
  ]);
});

test("colours are on a terminal only", async () => {
  const coloured = await agynctl(["runners", "list"], { columns: 120 });
  const piped = await agynctl(["runners", "list"]);
  expect(coloured.stdout).toContain("\u001b[32menrolled");
  expect(piped.stdout).not.toContain("\u001b");
});

test("a followed workload shows both outputs apart and ends with its exit code", async () => {
  const script = "echo out; echo err >&2; exit 7";
  const ran = await agynctl(["workloads", "start", "--follow", "--require", "region=eu", "--", "sh", "-c", script]);
  expect(ran).toMatchObject({ exitCode: 7, stdout: "out\n" });
  expect(ran.stderr).toMatch(/placed on first/);
  expect(ran.stderr).toMatch(/second: .*region/);
  expect(ran.stderr).toMatch(/^err$/m);
  expect(ran.stderr).toMatch(/failed, exit code 7, after/);
});

test("a workload that a signal ends gives 128 and its number, one that times out 124", async () => {
  const killed = await agynctl(["workloads", "start", "--follow", "--", "sh", "-c", "kill -9 $$"]);
  const timedOut = await agynctl(["workloads", "start", "--follow", "--timeout", "200ms", "--", "sleep", "60"]);
  expect([killed.exitCode, timedOut.exitCode]).toEqual([137, 124]);
});

test("a followed workload that is tried again is followed into its next try", async () => {
  const argv = [
    "workloads",
    "start",
    "--follow",
    "--retries",
    "1",
    "--retry-on",
    "failed",
    "--",
    "sh",
    "-c",
    "echo try; exit 4",
  ];
  const { exitCode, stdout, stderr } = await agynctl(argv);
  expect({ exitCode, stdout }).toEqual({ exitCode: 4, stdout: "try\ntry\n" });
  expect(stderr).toMatch(/tried again as wkl_\S+ \(try 2\)/);
});

test("a demand that nobody can meet is one line, says where to look, and ends with 6", async () => {
  const started = await agynctl(["workloads", "start", "--capability", "gpu", "--", "true"]);
  expect(started).toMatchObject({ exitCode: 6, stdout: "" });
  expect(started.stderr).toMatch(
    /^error: no runner can take this workload: capability "gpu".* \(see why .*: agynctl workloads explain wkl_\w+\)\n$/,
  );
  const [, id] = /explain (wkl_\w+)/.exec(started.stderr)!;
  const { stdout: listed } = await agynctl(["workloads", "list"]);
  expect(listed.split("\n").find((line) => line.startsWith(id!))).toMatch(/ failed +no runner /);
  const explained = await agynctl(["explain", "--capability", "gpu"]);
  expect(explained).toMatchObject({
    exitCode: 6,
    stdout: expect.stringMatching(/nearest: (first|second), which lacks capability gpu/),
  });
  expect(await agynctl(["explain", "--require", "region in (eu,us)"])).toMatchObject({ exitCode: 0 });
});

test("secrets reach the workload and no answer", async () => {
  const file = join(directory, "secret");
  writeFileSync(file, "from-file\n");
  const argv = [
    "workloads",
    "start",
    "--follow",
    "--name",
    "keeps-secrets",
    "--secret-env",
    "KEY",
    "--secret-env-file",
    `OTHER=${file}`,
  ];
  const command = ["--", "sh", "-c", 'echo "${#KEY} ${#OTHER}"'];
  const ran = await agynctl([...argv, ...command], { environment: { KEY: "from-environment" } });
  expect(ran.stdout).toBe("16 9\n");
  const { stdout } = await agynctl(["workloads", "list", "-o", "json"]);
  expect(stdout).not.toContain("from-environment");
  expect(stdout).not.toContain("from-file");
});

test("a secret is set from stdin or a file, listed without its value, and deleted", async () => {
  const file = join(directory, "deploy.key");
  writeFileSync(file, "two\nlines\n");
  const set = await agynctl(["secrets", "set", "NPM_TOKEN"], { input: "s3cret-value\n" });
  expect(set).toMatchObject({ exitCode: 0, stdout: "set secret NPM_TOKEN\n" });
  expect(await agynctl(["secrets", "set", "DEPLOY_KEY", "--from-file", file])).toMatchObject({ exitCode: 0 });
  const listed = await agynctl(["secrets", "list"]);
  expect(listed.stdout).toMatch(/^NAME +PROJECT +SET +BY +USED\nDEPLOY_KEY +- .*\nNPM_TOKEN +- /);
  expect(await agynctl(["secrets", "delete", "NPM_TOKEN"])).toMatchObject({ stdout: "deleted secret NPM_TOKEN\n" });
  const names = await agynctl(["secrets", "list", "-o", "name"]);
  expect(names.stdout).toBe("DEPLOY_KEY\n");
});

test("a script comes from stdin", async () => {
  const ran = await agynctl(["workloads", "start", "--follow", "--script", "-"], {
    input: "for i in 1 2 3; do echo $i; done\n",
  });
  expect(ran).toMatchObject({ exitCode: 0, stdout: "1\n2\n3\n" });
});

test("Ctrl-C detaches: the workload goes on, and the way back is told", async () => {
  const interrupt = new AbortController();
  const argv = ["workloads", "start", "--follow", "--", "sh", "-c", "echo ready; sleep 60"];
  const onStdout = (text: string): void => (text.includes("ready") ? interrupt.abort() : undefined);
  const { exitCode, stderr } = await agynctl(argv, { signal: interrupt.signal, onStdout });
  expect(exitCode).toBe(130);
  const id = /agynctl workloads logs --follow (wkl_\w+)/.exec(stderr)![1]!;
  expect(await agynctl(["workloads", "get", id])).toMatchObject({ stdout: expect.stringMatching(/phase: +running/) });
  expect(await agynctl(["workloads", "stop", id, "--grace", "100ms"])).toMatchObject({ exitCode: 0 });
  await untilEnded(world.admin, id);
  expect((await agynctl(["workloads", "logs", id])).stdout).toBe("ready\n");
});

test("a server that restarts in the middle of a followed log loses no line and doubles none", async () => {
  const script = "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.1; done";
  let restart: Promise<void> | undefined;
  const onStdout = (text: string): void => {
    if (text.includes("line 5\n")) restart ??= world.restartServer();
  };
  const { exitCode, stdout, stderr } = await agynctl(["workloads", "start", "--follow", "--", "sh", "-c", script], {
    onStdout,
  });
  await restart;
  expect(stderr).toContain("connection lost, trying again");
  expect({ exitCode, stdout }).toEqual({
    exitCode: 0,
    stdout: Array.from({ length: 40 }, (_, line) => `line ${line}\n`).join(""),
  });
});

test("a runner that is killed in the middle is told to be away, then back, and no line is lost", async () => {
  const killed = await world.register("killed", { labels: { only: "killed" } });
  const process = world.startRunner(killed);
  const marker = join(directory, "back");
  const script = `i=0; until [ -e '${marker}' ]; do echo $((i=i+1)); sleep 0.1; done; echo end`;
  const facts = new Set<string>();
  const once = (fact: string, isSo: boolean, act: () => unknown): void => {
    if (isSo && !facts.has(fact)) act();
    if (isSo) facts.add(fact);
  };
  const onStdout = (): void => once("running", true, () => process.kill("SIGKILL"));
  const onStderr = (text: string): void => {
    once("away", text.includes("killed is out of reach"), () => world.startRunner(killed));
    once("back", text.includes("killed is back"), () => writeFileSync(marker, ""));
  };
  const argv = ["workloads", "start", "--follow", "--require", "only=killed", "--", "sh", "-c", script];
  const { exitCode, stdout } = await agynctl(argv, { onStdout, onStderr });
  const numbers = stdout.split("\n").slice(0, -2);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/\nend\n$/);
  expect(numbers).toEqual(numbers.map((_, index) => String(index + 1)));
});

test("a workload that finds no runner in its time ends with 6 and says what stood in the way", async () => {
  await agynctl(["runners", "register", "never-started", "--label", "only=never-started"]);
  const argv = ["workloads", "start", "--follow", "--wait", "300ms", "--require", "only=never-started", "--", "true"];
  const { exitCode, stdout, stderr } = await agynctl(argv);
  expect({ exitCode, stdout }).toEqual({ exitCode: 6, stdout: "" });
  expect(stderr).toMatch(/^waiting: .*never-started/);
});

test("logs are read by range, by tail and as JSON", async () => {
  const started = await agynctl(["workloads", "start", "-o", "name", "--", "sh", "-c", "seq 1 2500"]);
  const id = started.stdout.trim();
  await untilEnded(world.admin, id);
  const all = await agynctl(["workloads", "logs", "--follow", id]);
  expect(all.stdout.trimEnd().split("\n")).toHaveLength(2500);
  expect((await agynctl(["workloads", "logs", id])).stdout).toBe(all.stdout);
  expect((await agynctl(["workloads", "logs", id, "--tail", "2"])).stdout).toBe("2499\n2500\n");
  expect((await agynctl(["workloads", "logs", id, "--from-line", "10", "--limit", "1"])).stdout).toBe("11\n");
  const { stdout } = await agynctl(["workloads", "logs", id, "--tail", "1", "-o", "json"]);
  expect(JSON.parse(stdout)).toMatchObject({ number: "2499", stream: "LOG_STREAM_STDOUT", text: "2500" });
});

test("registering writes the token once and prints the exact next command", async () => {
  const path = join(directory, "third.token");
  const registered = await agynctl(["runners", "register", "third", "--label", "region=ap", "--token-file", path]);
  expect(registered.stdout).toContain(`  ./agyn-runner --gateway ${world.server.gateway} --token-file ${path}\n`);
  expect(readFileSync(path, "utf8")).toMatch(/^agyn_rt_\S+\n$/);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(registered.stdout).not.toContain("agyn_rt_");
  const again = await agynctl(["runners", "register", "third", "--token-file", join(directory, "fourth.token")]);
  expect(again).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/^error: .*third.*\(choose another name\)\n$/),
  });
  expect(() => statSync(join(directory, "fourth.token"))).toThrow("ENOENT");
});

test("a runner's life: pause, resume, drain, update, rotate, revoke, delete", async () => {
  await agynctl(["runners", "register", "short-lived"]);
  const steps: readonly (readonly [readonly string[], RegExp])[] = [
    [["pause", "short-lived", "--reason", "full"], /is paused/],
    [["resume", "short-lived"], /is active again/],
    [["drain", "short-lived"], /is draining/],
    [["update", "short-lived", "--name", "renamed", "--label", "a=b"], /updated runner renamed: name, labels/],
    [["rotate-token", "renamed"], /service token, shown this once: agyn_rt_/],
    [["get", "renamed"], /labels: +a=b/],
    [["delete", "renamed", "--yes"], /deleted runner renamed/],
  ];
  for (const [argv, expected] of steps) {
    const ran = await agynctl(["runners", ...argv]);
    expect(ran, argv.join(" ")).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(expected) });
  }
  expect(await agynctl(["runners", "get", "renamed"])).toMatchObject({ exitCode: 3 });
});

test("organizations, users, members and tokens are managed", async () => {
  const tokenFile = join(directory, "ada.token");
  const steps: readonly (readonly [string, RegExp])[] = [
    ["orgs create acme", /created organization acme \(org_/],
    [`users create ada --token-file ${tokenFile}`, /created user ada .*\nthe access token is in /],
    ["users update ada --cluster-admin no", /user ada is no cluster admin/],
    ["members set ada member --org acme", /user ada is now member/],
    ["members list --org acme", /ada +usr_\w+ +member/],
    ["orgs rename acme acme-labs", /is now named acme-labs/],
    [`orgs list --access-token-file ${tokenFile}`, /acme-labs/],
    [
      `tokens create ci --scope runners.read --lifetime 1h --access-token-file ${tokenFile}`,
      /access token, shown this once: agyn_pat_/,
    ],
    [`tokens list --access-token-file ${tokenFile}`, /ci +tok_\w+ +active +runners\.read/],
    [
      `whoami --access-token-file ${tokenFile}`,
      /^user: +ada \(usr_\w+\)\norganization: +acme-labs \(org_\w+\)\ngateway: +http.*\naccess token: +from .*ada.token\n$/,
    ],
    [
      "tokens create narrow --scope runners.read --token-file " + join(directory, "narrow.token"),
      /created access token/,
    ],
    [
      `whoami --access-token-file ${join(directory, "narrow.token")}`,
      /^user: +unknown: .* lacks the scope users.read\norganization: +unknown: .* lacks the scope organizations.read\n/,
    ],
    ["members remove ada --org acme-labs", /no longer a member/],
    ["users delete ada --yes", /deleted user ada/],
    ["orgs delete acme-labs --yes", /deleted organization acme-labs/],
    ["audit list --cluster --limit 50", /user\.\w+/],
  ];
  for (const [line, expected] of steps) {
    const ran = await agynctl(line.split(" "));
    expect(ran, line).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(expected) });
  }
});

test("what is removed by name is told to machines by its id", async () => {
  await agynctl(["users", "create", "gone", "--token-file", join(directory, "gone.token")]);
  await agynctl(["orgs", "create", "brief"]);
  await agynctl(["members", "set", "gone", "viewer", "--org", "brief"]);
  const steps: readonly (readonly [string, RegExp])[] = [
    ["members remove gone --org brief --yes -o name", /^usr_\w{16}\n$/],
    ["users delete gone --yes -o json", /"id": "usr_\w{16}"/],
    ["orgs delete brief --yes -o name", /^org_\w{16}\n$/],
  ];
  for (const [line, expected] of steps) expect((await agynctl(line.split(" "))).stdout, line).toMatch(expected);
});

test("watches show what is there, then what changes, until Ctrl-C", async () => {
  const interrupt = new AbortController();
  const onStdout = (text: string): void => (text.includes("watched") ? interrupt.abort() : undefined);
  const watching = agynctl(["workloads", "watch", "-o", "json"], { signal: interrupt.signal, onStdout });
  await agynctl(["workloads", "start", "--name", "watched", "--", "true"]);
  const { exitCode, stdout } = await watching;
  expect(exitCode).toBe(130);
  for (const line of stdout.trimEnd().split("\n")) expect(JSON.parse(line)).toHaveProperty("id");
});

test("metrics and versions are shown", async () => {
  const metrics = await until("there are metrics", async () => {
    const ran = await agynctl(["runners", "metrics", "first", "--since", "1m"]);
    return ran.stdout !== "" && ran;
  });
  expect(metrics.stdout).toMatch(/^TIME +CPU +LOAD +MEMORY/);
  expect((await agynctl(["version"])).stdout).toMatch(/^agynctl \d.*\ncontrol plane \d.* at http/);
});

test("errors say what to do, each with its exit code", async () => {
  const cases: readonly (readonly [readonly string[], NodeJS.ProcessEnv, number, RegExp])[] = [
    [["runners", "get", "nobody"], {}, 3, /^error: .*nobody.*\(.*--org.*\)\n$/],
    [["runners", "list"], { AGYN_TOKEN: "agyn_pat_wrong" }, 4, /the access token of AGYN_TOKEN was not accepted/],
    [["runners", "list"], { AGYN_TOKEN: "" }, 4, /no access token was found: set AGYN_TOKEN/],
    [
      ["runners", "list"],
      { AGYN_GATEWAY: "http://127.0.0.1:1" },
      5,
      /is the control plane running at http:\/\/127.0.0.1:1\?/,
    ],
    [["runners", "register", "Not A Name"], {}, 2, /^error: name: /],
    [["workloads", "start"], {}, 2, /nothing is to be run: end with -- and a command/],
  ];
  for (const [argv, environment, exitCode, expected] of cases) {
    const ran = await agynctl(argv, { environment });
    expect(ran, argv.join(" ")).toMatchObject({ exitCode, stdout: "", stderr: expect.stringMatching(expected) });
    expect(ran.stderr.trimEnd().split("\n")).toHaveLength(1);
  }
});
