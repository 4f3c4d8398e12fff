import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { expect, test } from "vitest";
import { RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { readWholeLog, script, until, untilEnded } from "../support/world.ts";
import { createCertificate } from "../support/certificate.ts";
import { createPlace, processesOn, run } from "./support.ts";

const counting = 'i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo "line $i"; sleep 0.05; done';
const numbered = Array.from({ length: 300 }, (_, index) => `line ${index + 1}`);

test("the commands it prints can be used as they are, and Ctrl-C ends everything", { timeout: 120_000 }, async () => {
  await using place = await createPlace();
  const started = await place.started();
  const commands = started.output().match(/^ {2}AGYN_DATA_DIR=.*agynctl .*$/gm) ?? [];

  expect(commands).toHaveLength(3);
  const [runners, hello, workloads] = await inTurn(commands, (line) => run(["sh", "-c", line]));
  expect(runners).toMatchObject({ code: 0, output: expect.stringMatching(/^local .* enrolled /m) });
  expect(hello).toMatchObject({ code: 0, output: expect.stringMatching(/^hello from a runner$/m) });
  expect(workloads).toMatchObject({ code: 0, output: expect.stringContaining("succeeded") });

  started.child.kill("SIGINT");
  expect(await started.ended).toBe(0);
  expect(await processesOn(place.directory)).toEqual([]);
});

test(
  "with a certificate of another host, and a runner plane that only others reach, all of this machine works",
  { timeout: 120_000 },
  async () => {
    await using place = await createPlace();
    const { certFile, keyFile } = await createCertificate("agyn.example.org");
    const tls = ["--listen", "0.0.0.0:0", "--tls-cert", certFile, "--tls-key", keyFile];
    const plane = ["--runner-listen", "0.0.0.0:0", "--runner-address", "agyn.invalid:7071"];
    const started = await place.started([...tls, ...plane]);
    const [command = ""] = started.output().match(/^ {2}AGYN_DATA_DIR=.*workloads start .*$/m) ?? [];

    const hello = run(["sh", "-c", command]);

    expect(started.output()).toMatch(/user port {5}https:\/\/127\.0\.0\.1:\d+$/m);
    expect(await hello.ended).toBe(0);
    expect(hello.output()).toMatch(/^hello from a runner$/m);
  },
);

test("after kill -9 a second start adopts the job, and no line of it is lost", { timeout: 120_000 }, async () => {
  await using place = await createPlace();
  const first = await place.started();
  const admin = await place.admin();
  const { workload } = await admin.orchestrator.startWorkload({ spec: script(counting) });
  await until("the tenth line", async () => {
    const { lines } = await admin.logs.readLog({ workload: workload!.id });
    return lines.length >= 10;
  });

  first.child.kill("SIGKILL");
  await first.ended;
  await until("the end of its runner", async () =>
    (await processesOn(place.directory)).every((line) => !line.includes("runner/src/main.ts")),
  );
  await place.started();

  const again = await place.admin();
  const ended = await untilEnded(again, workload!.id, 60_000);
  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, try: 1 });
  expect(await readWholeLog(again, workload!.id)).toEqual(numbered);
  const { runners } = await again.runners.listRunners({});
  expect(runners).toMatchObject([{ name: "local", status: RunnerStatus.ENROLLED }]);
});

test("Ctrl-C gives what runs its time and ends the rest as failed", { timeout: 120_000 }, async () => {
  await using place = await createPlace();
  const first = await place.started();
  const { workload } = await (await place.admin()).orchestrator.startWorkload({ spec: script("exec sleep 300") });
  await until("the job", async () => (await phaseOf(place, workload!.id)) === WorkloadPhase.RUNNING);

  const asked_ms = Date.now();
  first.child.kill("SIGINT");
  expect(await first.ended).toBe(0);
  const waited_ms = Date.now() - asked_ms;

  await place.started();
  const ended = (await (await place.admin()).orchestrator.getWorkload({ workload: workload!.id })).workload;
  expect(ended).toMatchObject({ phase: WorkloadPhase.FAILED, message: "runner stopped" });
  expect(waited_ms).toBeGreaterThan(9_500);
});

test("a second Ctrl-C leaves at once, and the next start takes up the job", { timeout: 120_000 }, async () => {
  await using place = await createPlace();
  const first = await place.started();
  const { workload } = await (await place.admin()).orchestrator.startWorkload({ spec: script("exec sleep 300") });
  await until("the job", async () => (await phaseOf(place, workload!.id)) === WorkloadPhase.RUNNING);

  first.child.kill("SIGINT");
  await until("the wait", () => first.output().includes("Ctrl-C again leaves at once"));
  await until("that it is another press", () => {
    first.child.kill("SIGINT");
    return first.output().includes("the next start takes up");
  });
  expect(await first.ended).toBe(130);
  await until("the end of its database", async () =>
    (await processesOn(place.directory)).every((line) => !line.includes("bin/postgres")),
  );

  await place.started();
  expect(await phaseOf(place, workload!.id)).toBe(WorkloadPhase.RUNNING);
  await (await place.admin()).orchestrator.stopWorkload({ workload: workload!.id });
  await untilEnded(await place.admin(), workload!.id);
});

test.each([
  ["--listen", "--runner-listen"],
  ["--runner-listen", "--listen"],
])(
  "an address in use is named with its flag %s, and nothing is left running",
  { timeout: 60_000 },
  async (flag, other) => {
    await using place = await createPlace();
    const taken = net.createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = `127.0.0.1:${(taken.address() as net.AddressInfo).port}`;

    const refused = place.start([flag, address, other, "127.0.0.1:0"]);

    expect(await refused.ended).toBe(2);
    expect(refused.output()).toContain(
      `agyn: ${address} is in use: stop what listens there, or choose another port with ${flag}\n`,
    );
    expect(await processesOn(place.directory)).toEqual([]);
    // Making one takes seconds, in which nobody should have to wait for this answer.
    expect(existsSync(join(place.directory, "postgres"))).toBe(false);
    taken.close();
  },
);

test("a data directory of another version, and a second server on one, are refused", { timeout: 90_000 }, async () => {
  await using place = await createPlace();
  const first = await place.started();
  const second = place.start();
  expect(await second.ended).toBe(2);
  expect(second.output()).toContain(`is in use by another server (process ${first.child.pid}): stop it, or choose`);

  first.child.kill("SIGINT");
  await first.ended;
  await writeFile(join(place.directory, "version"), "99\n");
  const third = place.start();
  expect(await third.ended).toBe(2);
  expect(third.output()).toContain("has layout 99, this server knows 3: use the version that made it, or another");
  expect(await processesOn(place.directory)).toEqual([]);
});

test("a data directory that is a file is refused by its name", async () => {
  await using place = await createPlace();
  await writeFile(place.directory, "");

  const refused = place.start();

  expect(await refused.ended).toBe(2);
  expect(refused.output()).toContain(`agyn: data_dir: ${place.directory} is not a directory: choose another, or`);
});

test("a database of another version of PostgreSQL is refused in its words", { timeout: 90_000 }, async () => {
  await using place = await createPlace();
  const first = await place.started();
  first.child.kill("SIGINT");
  await first.ended;
  const version = join(place.directory, "postgres", "data", "PG_VERSION");
  await writeFile(version, "9\n");

  const second = place.start();

  expect(await second.ended).toBe(2);
  const refusal = /^agyn: PostgreSQL ended at its start: .* was initialized by PostgreSQL version 9, .*$/m;
  expect(second.output()).toMatch(refusal);
  expect(second.output()).toContain("(use the version of agyn that made it, or another data_dir)\n");
  expect(await processesOn(place.directory)).toEqual([]);
});

test("what cannot be meant is refused before anything is made", async () => {
  await using place = await createPlace();
  const cases = [
    [["--listen", "0.0.0.0:0"], "reachable from other machines"],
    [["--lisen", "127.0.0.1:0"], 'unknown flag --lisen: did you mean "--listen"?'],
    [["127.0.0.1:0"], "flags follow a --, as in: npm start -- --listen "],
    [["--runner-listen", "0.0.0.0:0"], "runner_address: needed with runner_listen 0.0.0.0"],
    [["--tls-cert", "/nonexistent.pem"], "tls_cert and tls_key go together"],
    [["--tls-cert", "/nonexistent.pem", "--tls-key", "/"], "tls_cert: there is no file /nonexistent.pem: make it, or"],
    [["--tls-cert", "/", "--tls-key", "/"], "tls_cert: / cannot be read (EISDIR)"],
  ] as const;
  const ends = await inTurn(cases, ([flags]) => place.start(flags));
  expect(ends.map(({ code }) => code)).toEqual(cases.map(() => 2));
  for (const [index, { output }] of ends.entries()) expect(output).toContain(cases[index]![1]);
});

async function phaseOf(place: Awaited<ReturnType<typeof createPlace>>, workload: string): Promise<WorkloadPhase> {
  return (await (await place.admin()).orchestrator.getWorkload({ workload })).workload!.phase;
}

async function inTurn<T>(items: readonly T[], start: (item: T) => ReturnType<typeof run>) {
  const ends: { code: number | NodeJS.Signals; output: string }[] = [];
  for (const item of items) {
    const started = start(item);
    ends.push({ code: await started.ended, output: started.output() });
  }
  return ends;
}
