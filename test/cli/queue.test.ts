import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createWorld, until, type World } from "../support/world.ts";
import { run, type Ran } from "./support/terminal.ts";

let world: World;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "agyn-cli-queue-"));
  world = await createWorld();
  // It never comes, so that what is queued stays.
  await world.register("asleep");
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

function agynctl(line: string): Promise<Ran> {
  const environment = { AGYN_GATEWAY: world.server.gateway, AGYN_TOKEN: world.adminToken };
  const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
  return run(words, { cwd: directory, environment });
}

/** Starts a run of one job by each of these names; answers its number. */
async function start(names: readonly string[], { words = "", label = "a" } = {}): Promise<string> {
  const jobs = names.map((name) => `  ${name}: { run: 'true'${words} }\n`);
  writeFileSync(join(directory, "queued.yaml"), `jobs:\n${jobs.join("")}`);
  const { stdout } = await agynctl(`run ./queued.yaml --label team=${label} -o json`);
  return (JSON.parse(stdout) as { number: string }).number;
}

/** The jobs that wait, in their order, once there are so many. */
async function waiting(team: string, count: number): Promise<string[]> {
  return until(`${count} queued jobs`, async () => {
    const { stdout } = await agynctl(`queue --label team=${team} -o json`);
    const items = JSON.parse(stdout) as { job: { runNumber: string; name: string } }[];
    return items.length === count && items.map(({ job }) => `${job.runNumber}/${job.name}`);
  });
}

test("the queue is listed with what each job waits for and who could take it", async () => {
  const number = await start(["build", "test"], { label: "list" });
  await waiting("list", 2);
  const { exitCode, stdout } = await agynctl("queue --label team=list");
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^POSITION +JOB +PROJECT +PRIORITY +WAITS FOR +RUNNERS +AGE +ESTIMATE\n/);
  expect(stdout).toMatch(new RegExp(`^\\d+ of \\d+ +${number}/build +0 +.*asleep.* asleep +`, "m"));
});

test("jobs are moved before, behind, to the top and to the end", async () => {
  const number = await start(["a", "b", "c"], { label: "move" });
  const of = (...names: string[]): string[] => names.map((name) => `${number}/${name}`);
  expect(await waiting("move", 3)).toEqual(of("a", "b", "c"));
  const steps = [
    [`queue move ${number}/c --before ${number}/a`, of("c", "a", "b")],
    [`queue move ${number}/c --after ${number}/a`, of("a", "c", "b")],
    [`queue move ${number}/b --top`, of("b", "a", "c")],
    [`queue move ${number}/b --end`, of("a", "c", "b")],
  ] as const;
  for (const [line, order] of steps) {
    expect(await agynctl(line), line).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^moved \d+\/[bc]/) });
    expect(await waiting("move", 3), line).toEqual(order);
  }
  expect(await agynctl(`queue move ${number}/a`)).toMatchObject({ exitCode: 2 });
  expect(await agynctl(`queue move ${number}/a --top --end`)).toMatchObject({ exitCode: 2 });
});

test("queued jobs are cancelled by name and by filter, and a dry run says how many", async () => {
  const number = await start(["a", "b", "c"], { label: "cancel" });
  await waiting("cancel", 3);
  const dry = await agynctl("queue cancel --label team=cancel --dry-run");
  const one = await agynctl(`queue cancel ${number}/b --reason 'not now'`);
  const rest = await agynctl("queue cancel --label team=cancel --yes -o name");
  expect(dry).toMatchObject({ exitCode: 0, stderr: "3 queued jobs would be cancelled\n" });
  expect(one).toMatchObject({
    stdout: expect.stringMatching(/b +cancelled +not now/),
    stderr: "1 queued job cancelled\n",
  });
  expect(rest.stdout).toMatch(/^(job_\w+\n){2}$/);
  expect(await waiting("cancel", 0)).toEqual([]);
  expect(await agynctl("queue cancel")).toMatchObject({ exitCode: 2 });
});

test("a job that nobody can take is explained, and the run says of each job why", async () => {
  const words = ", requires: { capabilities: [gpu] }";
  const number = await start(["train"], { words, label: "explain" });
  await waiting("explain", 1);
  const explained = await agynctl(`queue explain ${number}/train`);
  const whole = await agynctl(`runs explain ${number}`);
  expect(explained).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/train has no position, and waits for: .*gpu/),
  });
  expect(explained.stdout.match(/no runner can take this workload/g)).toHaveLength(1);
  expect(explained.stdout).toMatch(/^asleep +organization +no +.*gpu/m);
  expect(whole.stdout).toMatch(/^JOB +STATE +POSITION +WHY +RUNNERS\ntrain +queued +- +.*"gpu".* none$/m);
  const never = await until("its verdict", async () => {
    const { stdout } = await agynctl("queue --verdict never -o name");
    return stdout !== "" && stdout;
  });
  expect(never).toMatch(/^job_\w+\n$/);
});

test("a paused queue says so above the list, and goes on", async () => {
  await start(["held"], { label: "pause" });
  await waiting("pause", 1);
  const paused = await agynctl("queue pause --reason 'the database is being moved'");
  const shown = await agynctl("queue --label team=pause");
  const all = await agynctl("queue pause --cluster --reason maintenance");
  const limits = await agynctl("queue limits");
  expect(paused.stdout).toBe("the queue of the organization is paused\n");
  expect(shown.stderr).toBe("the queue of the organization is paused: the database is being moved\n");
  expect(shown.stdout).toMatch(/^- +\d+\/held .* is paused: the database is being moved/m);
  expect(all).toMatchObject({ exitCode: 0, stdout: "the queue of the cluster is paused\n" });
  expect(limits.stdout).toMatch(/paused: +the queue of the cluster is paused: maintenance; the queue of the organ/);
  for (const line of ["queue resume", "queue resume --cluster"])
    expect(await agynctl(line)).toMatchObject({ exitCode: 0 });
  expect(await agynctl("queue resume")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("is not paused"),
  });
});

test("a project's queue is paused alone", async () => {
  await agynctl("projects create web");
  expect(await agynctl("queue pause --project web --reason moving")).toMatchObject({ exitCode: 0 });
  expect((await agynctl("queue limits")).stdout).toContain("the queue of project web is paused: moving");
  expect(await agynctl("queue resume --project web")).toMatchObject({ stdout: "the queue of project web goes on\n" });
});

test("limits are shown and changed, and a full queue refuses a run with the limit", async () => {
  await start(["kept"], { label: "limits" });
  await waiting("limits", 1);
  const changed = await agynctl("queue limits --max-running 20 --max-queued 1");
  const refused = await agynctl("run ./queued.yaml");
  expect(changed.stdout).toMatch(/^running jobs: +0, at most 20\nqueued jobs: +\d+, at most 1\n/);
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^error: .*\b1\b.*\n$/) });
  expect(await agynctl("queue limits --max-queued 100000")).toMatchObject({ exitCode: 0 });
});

test("runs are cancelled by filter, after a dry run", async () => {
  await start(["a"], { label: "runs" });
  await start(["b"], { label: "runs" });
  const dry = await agynctl("runs cancel --label team=runs --dry-run");
  const done = await agynctl("runs cancel --label team=runs --state queued --yes");
  expect(dry).toMatchObject({ exitCode: 0, stderr: "2 runs would be cancelled\n" });
  expect(done).toMatchObject({ exitCode: 0, stderr: "2 runs cancelled\n" });
  expect(await agynctl("runs cancel")).toMatchObject({ exitCode: 2 });
});
