import { existsSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { atBootTime, bootTimeMs } from "../boot-clock.ts";
import { killCgroup, removeCgroup } from "./cgroup.ts";
import { readIfThere, writeAtomically } from "./durable-file.ts";
import { type Exit, parseExit, resultOf, resultWithout } from "./ending.ts";
import type { Execution, ExecutionResult, OutputStream, Sink, StopRequest, WorkloadSpec } from "./executor.ts";
import { jobPaths, removeJobDirectory } from "./job-directory.ts";
import { readOutputs } from "./job-outputs.ts";
import { releaseUid } from "./job-uids.ts";
import { environmentMark, launch, tellWrapper } from "./launch.ts";
import { type OutputPipe, openOutputPipe } from "./output-pipe.ts";
import { readStaged } from "./output-stage.ts";
import type { ProcessExecutorSettings } from "./process-settings.ts";
import { type JobMark, isAlive, killRemains, msPerTick, signal } from "./process-tree.ts";
import {
  type Ending,
  type ExecutionRecord,
  type ProcessIdentity,
  executionFiles,
  readEnding,
  readJobPid,
  readStart,
  readWrapper,
  writeEnding,
} from "./record.ts";
import { type UsageWatch, watchUsage } from "./usage.ts";

/** How long a killed job may take to be gone before its result is given without it. */
const killPatienceMs = 30_000;

/** Either `begin` or `adopt` is called, once. */
export type ProcessExecution = Execution & {
  /** Prepares and starts the job; `spec` with its secret values. */
  begin(spec: WorkloadSpec): void;
  /** Takes up what an earlier process of the runner began. */
  adopt(): void;
};

/** The wrapper and its pipes as this process holds them. */
type Attachment = { wrapper: ProcessIdentity; pipes: OutputPipe[]; watch: UsageWatch; cancelTimeout: () => void };

/**
 * One job and its wrapper. It goes preparing → attached → ended; what can end it (exit, death of the wrapper, stop, time-out)
 * meets in `finish`, which runs once: kill what is left, take all output, then let the wrapper go, then give the result.
 */
export function openProcessExecution(
  settings: ProcessExecutorSettings,
  record: ExecutionRecord,
  sink: Sink,
): ProcessExecution {
  const { spec } = record;
  const files = executionFiles(join(settings.directory, `${spec.workloadId}.${spec.fence}`));
  const { promise: result, resolve: give } = Promise.withResolvers<ExecutionResult>();
  const preparation = new AbortController();
  let attachment: Attachment | undefined;
  let ending: Ending | undefined;
  let isStarted = false;
  let isFinishing = false;
  let isSettled = false;
  let cancelKill = (): void => undefined;

  const resolve = (answer: ExecutionResult): void => {
    isSettled = true;
    give(answer);
  };

  const mark = (wrapper: ProcessIdentity | undefined): JobMark => ({
    wrapper,
    notBeforeTicks: wrapper?.startTicks ?? record.createBootTicks,
    jobPid: readJobPid(files),
    uid: record.uid,
    environment: environmentMark(record),
    seen: attachment?.watch.seen ?? new Map(),
  });

  const attach = (wrapper: ProcessIdentity): void => {
    const out = openOutputPipe(files.out, (bytes) => sink.output("stdout", bytes), {
      stage: stageOf("stdout", files.outStage),
    });
    const err = openOutputPipe(files.err, (bytes) => sink.output("stderr", bytes), {
      stage: stageOf("stderr", files.errStage),
    });
    const notify = openOutputPipe(files.notify, noticed, { ended: () => void finish() });
    attachment = {
      wrapper,
      pipes: [notify, out, err],
      watch: watchUsage(record.cgroup, () => mark(wrapper)),
      cancelTimeout: limitTime(wrapper),
    };
    if (ending !== undefined) carryOut(ending);
  };

  const stageOf = (stream: OutputStream, path: string) =>
    sink.position && { path, position: () => sink.position!(stream) };

  /** Hands on what an earlier process had taken from a pipe, where the sink did not get it: at most one of the two. */
  const takeStaged = (): void => {
    for (const [stream, path] of [
      ["stdout", files.outStage],
      ["stderr", files.errStage],
    ] as const) {
      const staged = readStaged(path);
      const now = sink.position?.(stream);
      if (staged === undefined || now?.line !== staged.position.line) continue;
      if (now.heldBytes !== staged.position.heldBytes) continue;
      sink.output(stream, staged.bytes);
      return;
    }
  };

  const limitTime = (wrapper: ProcessIdentity): (() => void) => {
    const { timeoutMs, graceMs } = spec;
    if (timeoutMs === undefined) return () => undefined;
    return atBootTime(wrapper.startTicks * msPerTick + timeoutMs, () => {
      end({ outcome: "timed_out", reason: `timed out after ${timeoutMs} ms`, killAtBootMs: bootTimeMs() + graceMs });
    });
  };

  const noticed = (bytes: Buffer): undefined => {
    const text = bytes.toString();
    if (text.includes("started")) started();
    if (text.includes("exit") && existsSync(files.exit)) void finish();
    return undefined;
  };

  const started = (): void => {
    if (isStarted) return;
    isStarted = true;
    attachment?.watch.sample();
    sink.started({ startTime: startTime() });
    if (ending !== undefined) signalJob("SIGTERM");
  };

  const startTime = (): Date => statSync(files.job, { throwIfNoEntry: false })?.mtime ?? new Date(record.createTime);

  const end = (wanted: Ending): void => {
    if (isFinishing || isSettled) return;
    const killAtBootMs = Math.min(wanted.killAtBootMs, ending?.killAtBootMs ?? Infinity);
    ending = { ...(ending ?? wanted), killAtBootMs };
    remember(ending);
    preparation.abort(new Error(ending.reason));
    if (attachment !== undefined) carryOut(ending);
  };

  const remember = (wanted: Ending): void => {
    try {
      writeEnding(files, wanted);
    } catch (error) {
      // A full disk must not keep a job alive; only a runner that adopts it would not know of the ending.
      sink.system(`the ending of the job could not be recorded: ${(error as Error).message}\n`);
    }
  };

  const carryOut = ({ killAtBootMs }: Ending): void => {
    signalJob("SIGTERM");
    cancelKill();
    cancelKill = atBootTime(killAtBootMs, kill);
  };

  const signalJob = (name: NodeJS.Signals): void => {
    const jobPid = readJobPid(files);
    if (jobPid === undefined || existsSync(files.exit)) return;
    signal(-jobPid, name);
    if (name === "SIGTERM") signal(-jobPid, "SIGCONT");
  };

  const kill = (): void => {
    if (record.cgroup !== undefined) killCgroup(record.cgroup);
    signalJob("SIGKILL");
    if (attachment !== undefined) void killRemains(mark(attachment.wrapper));
    cancelKill = atBootTime(bootTimeMs() + killPatienceMs, () => void finish());
  };

  const finish = (): Promise<void> => settle().catch(failed);

  const settle = async (): Promise<void> => {
    if (isFinishing || attachment === undefined) return;
    isFinishing = true;
    const { wrapper, pipes, watch, cancelTimeout } = attachment;
    cancelTimeout();
    cancelKill();
    const usage = watch.usage();
    watch.close();
    await killAll(wrapper);
    for (const pipe of pipes) await pipe.drain();
    writeAtomically(files.drained, "");
    tellWrapper(files, "done");
    for (const pipe of pipes) pipe.close();
    conclude(usage);
  };

  const killAll = async (wrapper: ProcessIdentity | undefined): Promise<void> => {
    if (record.cgroup !== undefined) killCgroup(record.cgroup);
    if (!(await killRemains(mark(wrapper)))) sink.system("processes of the job are left that could not be killed\n");
  };

  const conclude = (usage = { cpuMs: 0, memoryPeakBytes: 0, sampled: true }): void => {
    const exit = readExit();
    const endTime = statSync(files.exit, { throwIfNoEntry: false })?.mtime ?? new Date();
    const { outputs, refusals } = readOutputs(record.jobDirectory);
    for (const refusal of refusals) sink.system(`${refusal}\n`);
    resolve(resultOf({ exit, start: readStart(files), ending, usage, startTime: startTime(), endTime, outputs }));
  };

  const readExit = (): Exit | undefined => parseExit(readIfThere(files.exit) ?? "");

  const begin = async (secret: WorkloadSpec): Promise<void> => {
    try {
      const wrapper = await launch({ settings, record, files, spec: secret, sink, signal: preparation.signal });
      attach(wrapper);
      tellWrapper(files, "go");
    } catch (error) {
      tellWrapper(files, "abort");
      await killAll(undefined);
      const outcome = ending === undefined ? "start_failed" : "stopped";
      resolve(resultWithout(outcome, ending?.reason ?? (error as Error).message, new Date(record.createTime)));
    }
  };

  const adopt = async (): Promise<void> => {
    const wrapper = readWrapper(files);
    ending = readEnding(files);
    takeStaged();
    if (existsSync(files.drained)) return conclude();
    if (record.bootId !== settings.bootId) return lose("the machine was restarted while the job ran");
    if (wrapper !== undefined && isAlive(wrapper)) {
      attach(wrapper);
      tellWrapper(files, "go");
      if (readStart(files) === "started") started();
      if (existsSync(files.exit)) await finish();
      return;
    }
    tellWrapper(files, "abort");
    await killAll(wrapper);
    if (readExit() === undefined) {
      return lose(
        wrapper === undefined
          ? "the runner died before the job was started"
          : "the job's wrapper died while no runner was there",
      );
    }
    sink.system("the last output of the job may be missing: its wrapper died while no runner was there\n");
    conclude();
  };

  const lose = (message: string): void => resolve(resultWithout("lost", message, startTime()));

  const failed = (error: unknown): void => lose(`the job could not be followed: ${(error as Error).message}`);

  return {
    workloadId: spec.workloadId,
    fence: spec.fence,
    files: { workspace: jobPaths(record.jobDirectory).workspace, uid: record.uid },
    result,
    begin: (secret) => void begin(secret).catch(failed),
    adopt: () => void adopt().catch(failed),
    stop({ graceMs, reason }: StopRequest) {
      end({ outcome: "stopped", reason, killAtBootMs: bootTimeMs() + graceMs });
    },
    resume() {
      for (const pipe of attachment?.pipes ?? []) pipe.resume();
    },
    usage: () => attachment?.watch.usage() ?? { cpuMs: 0, memoryPeakBytes: 0, sampled: true },
    async forget() {
      await result;
      await removeJobDirectory(record.jobDirectory);
      if (record.cgroup !== undefined) await removeCgroup(record.cgroup);
      if (record.uid !== undefined) releaseUid(settings.uidClaimsDirectory, record.uid, files.directory);
      rmSync(files.record, { force: true });
      await rm(files.directory, { recursive: true, force: true });
    },
  };
}
