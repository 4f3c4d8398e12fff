import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { expect, onTestFinished, test, vi } from "vitest";

import type { ScriptShell } from "../../runner/src/executors/executor.ts";
import { openWorld, run, script, until } from "./support/world.ts";

const hasProgram = (name: string): boolean => {
  try {
    return execFileSync("sh", ["-c", 'command -v -- "$1"', "sh", name]).length > 0;
  } catch {
    return false;
  }
};

test("a job has a clean environment and what was declared", async () => {
  vi.stubEnv("AGYN_SERVICE_TOKEN", "agyn_rt_secret");
  onTestFinished(() => void vi.unstubAllEnvs());
  await using world = await openWorld();
  const value = 'it\'s "x"\n$(id) `id` \\';
  const { log, spec } = await run(world, ["node", "-p", "JSON.stringify(process.env)"], {
    env: [
      { name: "DECLARED", value, secret: false },
      { name: "AGYN_FENCE", value: "999", secret: false },
    ],
  });
  const env = JSON.parse(log.stdout()) as Record<string, string>;
  expect(env).toMatchObject({ DECLARED: value, AGYN_FENCE: "7", CI: "true", AGYN_WORKLOAD_ID: spec.workloadId });
  const known = [
    "AGYN_FENCE",
    "AGYN_ORGANIZATION_ID",
    "AGYN_OUTPUT",
    "AGYN_RUNNER_ID",
    "AGYN_WORKLOAD_ID",
    "AGYN_WORKSPACE",
  ];
  const shells = new Set(["SHLVL", "_"]);
  const names = Object.keys(env).filter((name) => !shells.has(name));
  expect(names.sort()).toEqual([...known, "CI", "DECLARED", "HOME", "LANG", "PATH", "PWD", "TMPDIR"].sort());
});

test("a secret value is in no file of the runner and on no command line while the job runs", async () => {
  await using world = await openWorld();
  const secret = "s3cret-that-nobody-sees";
  const { log, execution } = await world.start(["sh", "-c", "echo up; exec sleep 60"], {
    env: [{ name: "KEY", value: secret, secret: true }],
  });
  await until("the job is up", () => log.stdout() === "up\n");
  const [execution1 = ""] = readdirSync(world.options.directory);
  const files = ["record.json", "wrapper.json", "job"].map((name) => join(world.options.directory, execution1, name));
  expect(readdirSync(join(world.options.directory, execution1))).not.toContain("launch");
  for (const file of files) expect(readFileSync(file, "utf8")).not.toContain(secret);
  expect(execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })).not.toContain(secret);
  execution.stop({ graceMs: 0, reason: "seen enough" });
  expect((await execution.result).outcome).toBe("stopped");
});

const hellos: [ScriptShell, string][] = [
  ["sh", "echo hello from $0"],
  ["bash", "a=(hello); echo ${a[0]}"],
  ["node", "console.log('hello')"],
  ["python3", "print('hello')"],
];
for (const [shell, text] of hellos) {
  test.skipIf(!hasProgram(shell))(`a script runs with ${shell}`, async () => {
    await using world = await openWorld();
    const { log, result } = await run(world, script(shell, text));
    expect(result.exitCode).toBe(0);
    expect(log.stdout()).toMatch(/^hello/);
  });
}

test("standard input is empty, the output can be opened by its name, and nothing else of the wrapper's is open", async () => {
  await using world = await openWorld();
  const { log } = await run(world, [
    "sh",
    "-c",
    "cat; echo out >/dev/stdout; echo err >/dev/stderr; ls -l /proc/$$/fd | grep -c /executions/",
  ]);
  expect(log.stdout()).toBe("out\n2\n");
  expect(log.stderr()).toBe("err\n");
});

test("a job starts with no signal ignored", async () => {
  await using world = await openWorld();
  const { log } = await run(world, ["grep", "SigIgn", "/proc/self/status"]);
  expect(log.stdout()).toBe("SigIgn:\t0000000000000000\n");
});

test("a job starts in its working directory inside the workspace", async () => {
  await using world = await openWorld();
  const { log } = await run(world, ["sh", "-c", 'pwd; [ "$PWD" = "$AGYN_WORKSPACE" ] && ls -ld "$AGYN_WORKSPACE"/..']);
  expect(log.stdout()).toMatch(/\/workspace\ndrwx------/);
});

test("a working directory outside the workspace, or not there, is a failed start", async () => {
  await using world = await openWorld();
  for (const workingDirectory of ["../..", "/etc", "a/../../b"]) {
    const { result } = await run(world, ["true"], { workingDirectory });
    expect(result).toMatchObject({
      outcome: "start_failed",
      message: expect.stringContaining("inside the workspace") as string,
    });
  }
  const { result } = await run(world, ["true"], { workingDirectory: "missing" });
  expect(result).toMatchObject({
    outcome: "start_failed",
    message: expect.stringContaining("working directory") as string,
  });
});

test("a variable that cannot be given is a failed start that names it", async () => {
  await using world = await openWorld();
  for (const name of ["", "A B", "1A", "A=B", "UID"]) {
    const { result } = await run(world, ["true"], { env: [{ name, value: "x", secret: false }] });
    expect(result).toMatchObject({
      outcome: "start_failed",
      message: expect.stringContaining("environment variable") as string,
    });
  }
});

test("a declared LD_PRELOAD or PATH reaches the job alone", async () => {
  await using world = await openWorld();
  const env = [
    { name: "LD_PRELOAD", value: "/nonexistent.so", secret: false },
    { name: "PATH", value: "/usr/bin:/bin", secret: false },
  ];
  const { log, result } = await run(world, ["sh", "-c", "echo $LD_PRELOAD $PATH"], { env });
  expect(result.exitCode).toBe(0);
  expect(log.stdout()).toBe("/nonexistent.so /usr/bin:/bin\n");
});
