import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { until } from "../support/world.ts";
import { processesOn, run } from "./support.ts";

test("a demo that is killed takes everything it started with it", { timeout: 90_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-killed-demo-"));
  await chmod(directory, 0o711);
  const demo = run([process.execPath, "demo/demo.ts"], { TMPDIR: directory });
  const hasStarted = () => demo.output().includes("Three runners enroll");
  await until("its runners", async () => hasStarted() && (await processesOn(directory)).length > 3, 60_000);

  demo.child.kill("SIGKILL");

  await until("the end of all", async () => (await processesOn(directory)).length === 0, 20_000);
  expect(await demo.ended).toBe("SIGKILL");
  await rm(directory, { recursive: true });
});
