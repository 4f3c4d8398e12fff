import { existsSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { minimumMasked_bytes } from "../../../wire/secrets.ts";
import { readIfThere, writeFileAtomically } from "../atomic-file.ts";
import { atBootTime, bootTimeMs } from "../boot-clock.ts";
import { killCgroup, removeCgroup } from "./cgroup.ts";
import { type Exit, parseExit, resultOf, resultWithout } from "./ending.ts";
import { createEntrance } from "./entrance.ts";
import type { Execution, ExecutionResult, Sink, StopRequest, WorkloadSpec } from "./executor.ts";
import { jobPaths, removeJobDirectory } from "./job-directory.ts";
import { readOutputs } from "./job-outputs.ts";
import { releaseUid } from "./job-uids.ts";
import { environmentMark, launch, tellWrapper } from "./launch.ts";
import { hidingMask, type Mask } from "./mask.ts";
import { type NoticePipe, openNoticePipe } from "./notice-pipe.ts";
import { type OutputReader, openOutputReader } from "./output-reader.ts";
import type { ProcessExecutorSettings } from "./process-settings.ts";
import { type JobMark, isAlive, killRemains, signal } from "./process-tree.ts";
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
import { timeLimitOf, timedOut } from "./time-limit.ts";
import { type UsageWatch, watchUsage } from "./usage.ts";

/** How long a killed job may take to be gone before its result is given without it. */
const killPatienceMs = 30_000;
/** How long the end of an output is waited for once the job is killed: somebody that nothing could find may still hold it open. */
const writerPatienceMs = 2000;

function unmaskedText(names: readonly string[]): string {
  return `not masked in the output, because shorter than ${minimumMasked_bytes} bytes or a common word: ${names.join(", ")}\n`;
}

/** Either `begin` or `adopt` is called, once. */
export type ProcessExecution = Execution & {
  /** Prepares and starts the job; `spec` with its secret values. */
  begin(spec: WorkloadSpec): void;
  /** Takes up what an earlier process of the runner began. */
  adopt(): void;
};

/** The wrapper and its pipe as this process holds them. */
type Attachment = {
  wrapper: ProcessIdentity;
  notices: NoticePipe;
  watch: UsageWatch;
  cancelTimeout: () => void;
};

/**
 * One job and its wrapper. It goes preparing → attached → ended; what can end it (exit, death of the wrapper, stop, time-out)
 * meets in `finish`, which runs once: kill what is left, take all output, then let the wrapper go, then give the result.
 */
export function openProcessExecution(
  settings: ProcessExecutorSettings,
  record: ExecutionRecord,
  { sink, mask }: { sink: Sink; mask: Mask },
): ProcessExecution {
  const { spec } = record;
  const files = executionFiles(join(settings.directory, `${spec.workloadId}.${spec.fence}`));
  const { promise: result, resolve: give } = Promise.withResolvers<ExecutionResult>();
  const { promise: ended, resolve: shut } = Promise.withResolvers<void>();
  const preparation = new AbortController();
  let attachment: Attachment | undefined;
  let outputs: OutputReader | undefined;
  let ending: Ending | undefined;
  let isStarted = false;
  let isFinishing = false;
  let isSettled = false;
  let cancelKill = (): void => undefined;

  const resolve = (answer: ExecutionResult): void => {
    isSettled = true;
    shut();
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
    outputs = openOutputReader(files.directory, sink, mask);
    attachment = {
      wrapper,
      notices: openNoticePipe(files.notify, noticed, () => void finish()),
      watch: watchUsage(record.cgroup, () => mark(wrapper)),
      cancelTimeout: limitTime(wrapper),
    };
    if (ending !== undefined) carryOut(ending);
  };

  const limitTime = (wrapper: ProcessIdentity): (() => void) => {
    const limit = timeLimitOf(record, wrapper);
    if (limit === undefined) return () => undefined;
    return atBootTime(limit.dueBootMs, () => end(timedOut(record, bootTimeMs() + spec.graceMs)));
  };

  const noticed = (words: string): void => {
    if (words.includes("started")) started();
    if (words.includes("lost"))
      sink.system("output of the job was lost: it could not be written to this machine's disk\n");
    if (words.includes("exit") && existsSync(files.exit)) void finish();
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
    // While this process stood still, the wrapper may have ended the job.
    ending ??= readEnding(files);
    shut();
    const { wrapper, notices, watch, cancelTimeout } = attachment;
    cancelTimeout();
    cancelKill();
    const usage = watch.usage();
    watch.close();
    await killAll(wrapper);
    notices.drain();
    await takeOutput(writerPatienceMs);
    writeFileAtomically(files.drained, "");
    rmSync(files.secrets, { force: true });
    tellWrapper(files, "done");
    notices.close();
    conclude(usage);
  };

  /** Takes what is left of both outputs: until their end, or as far as it is there after this time. */
  const takeOutput = async (patienceMs: number): Promise<void> => {
    outputs ??= openOutputReader(files.directory, sink, mask);
    if (!(await outputs.drain(patienceMs))) sink.system("the end of the job's output was not seen\n");
    outputs.close();
  };

  const killAll = async (wrapper: ProcessIdentity | undefined): Promise<void> => {
    if (record.cgroup !== undefined) killCgroup(record.cgroup);
    if (!(await killRemains(mark(wrapper)))) sink.system("processes of the job are left that could not be killed\n");
  };

  const conclude = (usage = { cpuMs: 0, memoryPeakBytes: 0, sampled: true }): void => {
    const exit = readExit();
    const endTime = statSync(files.exit, { throwIfNoEntry: false })?.mtime ?? new Date();
    const handedOn = readOutputs(record.jobDirectory, mask);
    for (const refusal of handedOn.refusals) sink.system(`${refusal}\n`);
    resolve(
      resultOf({
        exit,
        start: readStart(files),
        ending,
        usage,
        startTime: startTime(),
        endTime,
        outputs: handedOn.outputs,
      }),
    );
  };

  const readExit = (): Exit | undefined => parseExit(readIfThere(files.exit) ?? "");

  const begin = async (secret: WorkloadSpec): Promise<void> => {
    try {
      if (mask.unmasked.length > 0) sink.system(unmaskedText(mask.unmasked));
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
    if (existsSync(files.drained)) return conclude();
    if (mask === hidingMask)
      sink.system("the job's output is left out from here: its secrets cannot be told any more\n");
    if (record.bootId !== settings.bootId) {
      await takeOutput(0);
      return lose("the machine was restarted while the job ran");
    }
    if (wrapper !== undefined && isAlive(wrapper)) {
      attach(wrapper);
      tellWrapper(files, "go");
      if (readStart(files) === "started") started();
      // A wrapper that died before its pipe was open again leaves nothing to hear.
      if (existsSync(files.exit) || !isAlive(wrapper)) await finish();
      return;
    }
    tellWrapper(files, "abort");
    await killAll(wrapper);
    if (existsSync(files.stdout.directory)) await takeOutput(writerPatienceMs);
    if (readExit() === undefined) {
      return lose(
        wrapper === undefined
          ? "the runner died before the job was started"
          : "the job's wrapper died while no runner was there",
      );
    }
    conclude();
  };

  const lose = (message: string): void => resolve(resultWithout("lost", message, startTime()));

  const failed = (error: unknown): void => lose(`the job could not be followed: ${(error as Error).message}`);

  return {
    workloadId: spec.workloadId,
    fence: spec.fence,
    files: { workspace: jobPaths(record.jobDirectory).workspace, uid: record.uid },
    entrance() {
      const jobPid = readJobPid(files);
      const isRunning = isStarted && !isFinishing && ending === undefined && !existsSync(files.exit);
      if (jobPid === undefined || !isRunning) throw new Error("its command does not run");
      return createEntrance(settings, record, { jobPid, ended });
    },
    result,
    begin: (secret) => void begin(secret).catch(failed),
    adopt: () => void adopt().catch(failed),
    stop({ graceMs, reason }: StopRequest) {
      end({ outcome: "stopped", reason, killAtBootMs: bootTimeMs() + graceMs });
    },
    resume() {
      outputs?.resume();
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
