import { expect, test } from "vitest";

import { createSimulatedExecutor, simulatedLine } from "../../runner/src/executors/simulated.ts";
import type { WorkloadSpec } from "../../runner/src/executors/executor.ts";
import { recorder, specOf, until } from "./support/world.ts";

async function simulate(simulation: object, more: Partial<WorkloadSpec> = {}) {
  const { log, sink } = recorder();
  const spec = specOf([], { simulation: JSON.stringify(simulation), ...more });
  return { log, execution: await createSimulatedExecutor().start(spec, sink) };
}

test("a simulated workload of nothing succeeds at once", async () => {
  const { execution, log } = await simulate({});
  expect(await execution.result).toMatchObject({ outcome: "exited", exitCode: 0 });
  expect(log.hasStarted()).toBe(true);
});

test("a simulated workload writes its lines and gives its code", async () => {
  const { execution, log } = await simulate({ lines: 50_000, bytes: 40, exitCode: 3, durationMs: 50 });
  expect(await execution.result).toMatchObject({ outcome: "exited", exitCode: 3 });
  const lines = Array.from({ length: 50_000 }, (_, index) => simulatedLine(index, 40));
  expect(log.stdout()).toBe(lines.join(""));
});

test("a simulated workload fails to start for its reason", async () => {
  const { execution, log } = await simulate({ failStart: "no such image" });
  expect(await execution.result).toMatchObject({ outcome: "start_failed", message: "no such image" });
  expect(log.hasStarted()).toBe(false);
});

test("a simulated workload that ignores the stop is killed after the grace", async () => {
  const { execution, log } = await simulate({ durationMs: 60_000, ignoreStop: true });
  await until("it has started", () => log.hasStarted());
  execution.stop({ graceMs: 50, reason: "stopped" });
  expect(await execution.result).toMatchObject({ outcome: "stopped", signal: "SIGKILL" });
});

test("a simulated workload past its time is ended", async () => {
  const { execution } = await simulate({ durationMs: 60_000 }, { timeoutMs: 50 });
  expect(await execution.result).toMatchObject({ outcome: "timed_out" });
});

test("a simulated workload waits while its sink pauses, and can be stopped then", async () => {
  const { execution, log } = await simulate({ lines: 1_000_000 });
  log.pauses = true;
  await until("something came", () => log.stdout() !== "");
  execution.stop({ graceMs: 0, reason: "stopped" });
  expect(await execution.result).toMatchObject({ outcome: "stopped" });
});

test("a simulated workload is refused for its reason", () => {
  const executor = createSimulatedExecutor();
  expect(executor.refusal(specOf([], { simulation: '{"rejectReason":"too hot"}' }))).toBe("too hot");
  expect(executor.refusal(specOf([]))).toBeUndefined();
});

test("an unknown or ill-typed field of a simulation is a failed start that names it", async () => {
  const unknown = await simulate({ duration: 5 });
  expect((await unknown.execution.result).message).toBe("simulation field duration is not known");
  const illTyped = await simulate({ lines: "many" });
  expect((await illTyped.execution.result).message).toContain("simulation field lines");
});
