import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";

import { canIsolate, detectIsolation } from "../../runner/src/executors/isolation.ts";
import { isPassable } from "../../runner/src/executors/job-directory.ts";
import { createProcessExecutor } from "../../runner/src/executors/process.ts";
import { type World, openWorld, recorder, run, specOf, until } from "./support/world.ts";

const hasUids = await canIsolate("uid");
const hasNamespaces = await canIsolate("namespace");

function placeIdentity(world: World): string {
  const key = join(world.data, "identity/key.pem");
  writeFileSync(key, "the runner's private key", { mode: 0o600 });
  return key;
}

test("what is detected can be done, and as root it is a user for each job", async () => {
  const isolation = await detectIsolation();
  expect(await canIsolate(isolation)).toBe(true);
  expect(isolation === "uid").toBe(hasUids);
});

test.skipIf(!hasUids)(
  "a job under its own uid gets EACCES from the runner's identity, environment and memory",
  async () => {
    await using world = await openWorld("uid");
    const look = `for (const path of process.argv.slice(1))
    try { require("fs").readFileSync(path); console.log("read " + path) } catch (error) { console.log(error.code) }`;
    const paths = [
      placeIdentity(world),
      `/proc/${process.pid}/environ`,
      `/proc/${process.pid}/mem`,
      world.options.directory,
    ];
    const { log } = await run(world, ["node", "-e", look, "--", ...paths]);
    expect(log.stdout()).toBe("EACCES\n".repeat(4));
  },
);

test.skipIf(!hasUids)("jobs under their own uid see nothing of each other", async () => {
  await using world = await openWorld("uid");
  const victim = await world.start(["sh", "-c", "echo secret >file; pwd; id -u; sleep 60"]);
  await until("the victim is up", () => victim.log.stdout().split("\n").length === 3);
  const [place = "", uid] = victim.log.stdout().split("\n");
  const { log } = await run(world, ["sh", "-c", `cat ${place}/file; kill -9 -1; id -u; id -G`]);
  const [ownUid, groups] = log.stdout().trim().split("\n");
  expect(ownUid).not.toBe(uid);
  expect(ownUid).toBe(groups);
  expect(log.stderr()).toContain("Permission denied");
  await until("the victim, still there, is measured", () => victim.execution.usage().memoryPeakBytes > 0);
});

test.skipIf(!hasUids)("a job under its own uid can gain no privilege by a set-uid program", async () => {
  await using world = await openWorld("uid");
  const { log } = await run(world, ["grep", "-E", "^(NoNewPrivs|CapBnd|CapPrm|Groups)", "/proc/self/status"]);
  expect(log.stdout()).toBe("Groups:\t \nCapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
});

test.skipIf(!hasUids)("below a closed parent directory a job under its own uid still has its workspace", async () => {
  await using world = await openWorld("uid");
  const closed = join(world.data, "identity/closed");
  mkdirSync(closed, { recursive: true });
  expect(isPassable(closed)).toBe(false);
  const { openJobRoot, removeJobDirectory } = await import("../../runner/src/executors/job-directory.ts");
  const root = openJobRoot(join(closed, "jobs"), "uid");
  expect(root).toMatch(/^\/var\/tmp\/agyn-[0-9a-f]{16}$/);
  expect(isPassable(root)).toBe(true);
  await removeJobDirectory(root);
});

test.skipIf(!hasNamespaces)(
  "a job in a namespace sees neither the runner's directory nor any process but its own",
  async () => {
    await using world = await openWorld("namespace");
    const key = placeIdentity(world);
    const look = `cat ${key}; ls ${world.data}; ls -d /proc/[0-9]* | wc -l; umount ${world.data}; cat ${key}; echo x >file && cat file`;
    const { log } = await run(world, ["sh", "-c", look]);
    expect(log.stdout()).toMatch(/^jobs\n\s*[1-9]\nx\n$/);
    expect(log.stderr().match(/No such file/g)?.length).toBe(2);
  },
);

test.skipIf(!hasNamespaces)(
  "a job in a namespace finds nothing in a file that is hidden, and its own directory in a hidden one",
  async () => {
    await using world = await openWorld("namespace");
    const above = dirname(world.data);
    const token = join(dirname(above), `${basename(above)}.token`);
    writeFileSync(token, "the service token", { mode: 0o600 });
    const hidden = { directories: [world.data, above], files: [token, `${token}.gone`] };
    const { log, sink } = recorder();
    const executor = createProcessExecutor({ ...world.options, hidden });
    const execution = await executor.start(
      specOf(["sh", "-c", `cat ${token}; ls ${above}; echo x >file && cat file`]),
      sink,
    );
    await execution.result;
    await execution.forget();
    rmSync(token);
    expect(log.stdout()).toBe("runner\nx\n");
  },
);

test.skipIf(!hasNamespaces)("a job in a namespace cannot undo the hiding by a namespace of its own", async () => {
  await using world = await openWorld("namespace");
  const key = placeIdentity(world);
  const undo = [
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    `umount ${world.data}; cat ${key}; id -u`,
  ];
  const { log } = await run(world, undo);
  expect(log.stdout()).not.toContain("private key");
});

test("without isolation jobs run, and the executor says so", async () => {
  await using world = await openWorld("none");
  expect(await world.executor.probe()).toMatchObject({ usable: true, isolation: "none" });
  const { result } = await run(world, ["true"]);
  expect(result.exitCode).toBe(0);
});

test.skipIf(!hasNamespaces)("a namespace that cannot be made is a failed start that says why", async () => {
  await using world = await openWorld("namespace");
  const hidden = { directories: [world.data, "/nonexistent"], files: [] };
  const executor = createProcessExecutor({ ...world.options, hidden });
  const { log, sink } = recorder();
  const execution = await executor.start(specOf(["echo", "hello"]), sink);
  expect(await execution.result).toMatchObject({
    outcome: "start_failed",
    message: "namespace of the job could not be made: /nonexistent cannot be hidden",
  });
  expect(log.hasStarted()).toBe(false);
  await execution.forget();
});
