import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { startRunner, type Runner, type RunnerOptions } from "../../runner/src/runner.ts";
import { parseServiceToken } from "../../wire/service-token.ts";
import { createId } from "../../wire/ids.ts";
import { toDuration } from "../../runner/src/wire-time.ts";
import { openControlPlane, type ControlPlane } from "./control-plane.ts";
import { endJobsOf } from "../support/jobs-left.ts";

/** A directory of this test's own. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "agyn-runner-test-"));
  onTestFinished(async () => {
    await endJobsOf([directory]);
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** A control plane that is closed with the test. */
export async function controlPlaneOfTest(): Promise<ControlPlane> {
  const controlPlane = await openControlPlane();
  onTestFinished(() => controlPlane.close());
  return controlPlane;
}

/** A runner in this process, abandoned with the test. */
export async function runnerOfTest(controlPlane: ControlPlane, options: Partial<RunnerOptions> = {}): Promise<Runner> {
  const token = parseServiceToken(controlPlane.tokenText);
  if ("error" in token) throw new Error(token.error);
  const runner = await startRunner({
    gateway: controlPlane.url,
    token,
    dataDirectory: "dataDirectory" in options ? undefined : temporaryDirectory(),
    isEphemeral: false,
    capacity: { slots: 4 },
    executors: ["simulated"],
    isUnsafeSharedUser: false,
    version: "0.0.0",
    log: pino({ level: process.env["AGYN_TEST_LOG"] ?? "silent" }),
    ...options,
  });
  const settled = runner.done.catch(() => {});
  onTestFinished(async () => {
    runner.abandon();
    await settled;
  });
  return runner;
}

/** A placement of a simulated workload. */
export function simulated(simulation: {
  durationMs?: number;
  exitCode?: number;
  lines?: number;
  rejectReason?: string;
}) {
  const { durationMs = 0, exitCode = 0, lines = 0, rejectReason = "" } = simulation;
  return {
    workloadId: createId("workload"),
    organizationId: createId("organization"),
    fence: 1n,
    executor: "simulated",
    resources: { slots: 1 },
    spec: {
      command: {
        case: "simulation" as const,
        value: { duration: toDuration(durationMs), exitCode, lines: BigInt(lines), rejectReason },
      },
    },
  };
}
