import { existsSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { minimumMasked_bytes } from "../../../wire/secrets.ts";
import { readIfThere, writeFileAtomically } from "../atomic-file.ts";
import { bootTimeMs } from "../boot-clock.ts";
import { removeCgroup } from "./cgroup.ts";
import { type Exit, parseExit, resultOf, resultWithout } from "./ending.ts";
import { createEntrance } from "./entrance.ts";
import type {
  Entrance,
  Execution,
  ExecutionResult,
  JobFiles,
  Sink,
  StopRequest,
  Usage,
  WorkloadSpec,
} from "./executor.ts";
import { jobPaths, removeJobDirectory } from "./job-directory.ts";
import { JobEnding } from "./job-ending.ts";
import { readOutputs } from "./job-outputs.ts";
import { type JobProcesses, type KnownProcesses, jobProcessesOf } from "./job-processes.ts";
import { releaseUid } from "./job-uids.ts";
import { launch, tellWrapper } from "./launch.ts";
import { hidingMask, type Mask } from "./mask.ts";
import { type NoticePipe, openNoticePipe } from "./notice-pipe.ts";
import { type OutputReader, openOutputReader } from "./output-reader.ts";
import type { ProcessExecutorSettings } from "./process-settings.ts";
import { isAlive } from "./process-tree.ts";
import {
  type ExecutionFiles,
  type ExecutionRecord,
  type ProcessIdentity,
  executionFiles,
  readJobPid,
  readStart,
  readWrapper,
} from "./record.ts";
import { type UsageWatch, watchUsage } from "./usage.ts";

/** How long the end of an output is waited for once the job is killed: somebody that nothing could find may still hold it open. */
const writerPatienceMs = 2000;
const noUsage: Usage = { cpuMs: 0, memoryPeakBytes: 0, sampled: true };

/** The wrapper and its pipe as this process holds them. */
type Attachment = {
  wrapper: ProcessIdentity;
  notices: NoticePipe;
  watch: UsageWatch;
};

/**
 * One job and its wrapper. It goes preparing → attached → ended; what can end it (exit, death of the wrapper, stop, time-out)
 * meets in `#finish`, which runs once: kill what is left, take all output, then let the wrapper go, then give the result.
 * Either `begin` or `adopt` is called, once.
 */
export class ProcessExecution implements Execution {
  readonly workloadId: string;
  readonly fence: bigint;
  readonly files: JobFiles;
  readonly result: Promise<ExecutionResult>;
  readonly #settings: ProcessExecutorSettings;
  readonly #record: ExecutionRecord;
  readonly #files: ExecutionFiles;
  readonly #processes: JobProcesses;
  readonly #ending: JobEnding;
  readonly #sink: Sink;
  readonly #mask: Mask;
  readonly #give: (result: ExecutionResult) => void;
  /** Settles when the job ends, before anything of it is killed. */
  readonly #over = Promise.withResolvers<void>();
  readonly #preparation = new AbortController();
  #attachment: Attachment | undefined;
  #outputs: OutputReader | undefined;
  #isStarted = false;
  #isFinishing = false;

  constructor(settings: ProcessExecutorSettings, record: ExecutionRecord, { sink, mask }: { sink: Sink; mask: Mask }) {
    const { workloadId, fence } = record.spec;
    this.workloadId = workloadId;
    this.fence = fence;
    this.files = { workspace: jobPaths(record.jobDirectory).workspace, uid: record.uid };
    this.#settings = settings;
    this.#record = record;
    this.#files = executionFiles(join(settings.directory, `${workloadId}.${fence}`));
    this.#processes = jobProcessesOf(record, this.#files);
    this.#sink = { ...sink, system: (text) => sink.system(mask.text(text)) };
    this.#mask = mask;
    this.#ending = new JobEnding({
      record,
      files: this.#files,
      processes: this.#processes,
      sink: this.#sink,
      onWanted: ({ reason }) => this.#preparation.abort(new Error(reason)),
      onStuck: () => void this.#finish(),
    });
    ({ promise: this.result, resolve: this.#give } = Promise.withResolvers<ExecutionResult>());
  }

  /** Prepares and starts the job; `spec` with its secret values. */
  begin(spec: WorkloadSpec): void {
    void this.#begin(spec).catch((error: unknown) => this.#fail(error));
  }

  /** Takes up what an earlier process of the runner began. */
  adopt(): void {
    void this.#adopt().catch((error: unknown) => this.#fail(error));
  }

  stop({ graceMs, reason }: StopRequest): void {
    this.#ending.want({ outcome: "stopped", reason, killAtBootMs: bootTimeMs() + graceMs });
  }

  resume(): void {
    this.#outputs?.resume();
  }

  usage(): Usage {
    return this.#attachment?.watch.usage() ?? noUsage;
  }

  hideSecrets(quoted: string): string {
    return this.#mask.quoted(quoted);
  }

  entrance(): Entrance {
    const jobPid = readJobPid(this.#files);
    const isEnding = this.#isFinishing || this.#ending.wanted !== undefined || existsSync(this.#files.exit);
    if (jobPid === undefined || !this.#isStarted || isEnding) throw new Error("its command does not run");
    return createEntrance(this.#settings, this.#record, { jobPid, ended: this.#over.promise });
  }

  async forget(): Promise<void> {
    const { jobDirectory, cgroup, uid } = this.#record;
    await this.result;
    await removeJobDirectory(jobDirectory);
    if (cgroup !== undefined) await removeCgroup(cgroup);
    if (uid !== undefined) releaseUid(this.#settings.uidClaimsDirectory, uid, this.#files.directory);
    rmSync(this.#files.record, { force: true });
    await rm(this.#files.directory, { recursive: true, force: true });
  }

  async #begin(spec: WorkloadSpec): Promise<void> {
    const { unmasked } = this.#mask;
    const { signal } = this.#preparation;
    try {
      if (unmasked.length > 0) this.#sink.system(unmaskedText(unmasked));
      const request = { settings: this.#settings, record: this.#record, files: this.#files, spec, sink: this.#sink };
      this.#attach(await launch({ ...request, signal }));
      tellWrapper(this.#files, "go");
    } catch (error) {
      tellWrapper(this.#files, "abort");
      await this.#killAll(undefined);
      const outcome = this.#ending.wanted === undefined ? "start_failed" : "stopped";
      const message = this.#ending.wanted?.reason ?? (error as Error).message;
      this.#resolve(resultWithout(outcome, message, new Date(this.#record.createTime)));
    }
  }

  async #adopt(): Promise<void> {
    const wrapper = readWrapper(this.#files);
    this.#ending.recall();
    if (existsSync(this.#files.drained)) return this.#conclude(noUsage);
    if (this.#mask === hidingMask)
      this.#sink.system("the job's output is left out from here: its secrets cannot be told any more\n");
    if (this.#record.bootId !== this.#settings.bootId) {
      await this.#takeOutput(0);
      this.#lose("the machine was restarted while the job ran");
    } else if (wrapper !== undefined && isAlive(wrapper)) await this.#adoptWith(wrapper);
    else await this.#adoptWithout(wrapper);
  }

  async #adoptWith(wrapper: ProcessIdentity): Promise<void> {
    this.#attach(wrapper);
    tellWrapper(this.#files, "go");
    if (readStart(this.#files) === "started") this.#started();
    // A wrapper that died before its pipe was open again leaves nothing to hear.
    if (existsSync(this.#files.exit) || !isAlive(wrapper)) await this.#finish();
  }

  /** Of a job whose wrapper is dead, or was never put on record. */
  async #adoptWithout(wrapper: ProcessIdentity | undefined): Promise<void> {
    tellWrapper(this.#files, "abort");
    await this.#killAll(wrapper);
    if (existsSync(this.#files.stdout.directory)) await this.#takeOutput(writerPatienceMs);
    if (this.#readExit() !== undefined) return this.#conclude(noUsage);
    const whenDied = wrapper === undefined ? "the runner died before the job was started" : undefined;
    this.#lose(whenDied ?? "the job's wrapper died while no runner was there");
  }

  #attach(wrapper: ProcessIdentity): void {
    const known = (): KnownProcesses => ({ wrapper, seen: this.#seen() });
    this.#outputs = openOutputReader(this.#files.directory, this.#sink, this.#mask);
    this.#attachment = {
      wrapper,
      notices: openNoticePipe(
        this.#files.notify,
        (words) => this.#noticed(words),
        () => void this.#finish(),
      ),
      watch: watchUsage(this.#record.cgroup, () => this.#processes.mark(known())),
    };
    this.#ending.attach(wrapper, known);
  }

  #seen(): ReadonlyMap<number, number> {
    return this.#attachment?.watch.seen ?? new Map();
  }

  #noticed(words: string): void {
    if (words.includes("started")) this.#started();
    if (words.includes("lost"))
      this.#sink.system("output of the job was lost: it could not be written to this machine's disk\n");
    if (words.includes("exit") && existsSync(this.#files.exit)) void this.#finish();
  }

  #started(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#attachment?.watch.sample();
    this.#sink.started({ startTime: this.#startTime() });
    this.#ending.started();
  }

  #startTime(): Date {
    return modifyTime(this.#files.job) ?? new Date(this.#record.createTime);
  }

  async #finish(): Promise<void> {
    if (this.#isFinishing || this.#attachment === undefined) return;
    this.#isFinishing = true;
    try {
      await this.#settle(this.#attachment);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #settle({ wrapper, notices, watch }: Attachment): Promise<void> {
    // While this process stood still, the wrapper may have ended the job.
    this.#ending.recall();
    this.#ending.close();
    this.#over.resolve();
    const usage = watch.usage();
    watch.close();
    await this.#killAll(wrapper);
    notices.drain();
    await this.#takeOutput(writerPatienceMs);
    writeFileAtomically(this.#files.drained, "");
    tellWrapper(this.#files, "done");
    notices.close();
    this.#conclude(usage);
  }

  /** Takes what is left of both outputs: until their end, or as far as it is there after this time. */
  async #takeOutput(patienceMs: number): Promise<void> {
    this.#outputs ??= openOutputReader(this.#files.directory, this.#sink, this.#mask);
    if (!(await this.#outputs.drain(patienceMs))) this.#sink.system("the end of the job's output was not seen\n");
    this.#outputs.close();
  }

  async #killAll(wrapper: ProcessIdentity | undefined): Promise<void> {
    if (!(await this.#processes.killAll({ wrapper, seen: this.#seen() })))
      this.#sink.system("processes of the job are left that could not be killed\n");
  }

  #readExit(): Exit | undefined {
    return parseExit(readIfThere(this.#files.exit) ?? "");
  }

  #conclude(usage: Usage): void {
    const { outputs, refusals } = readOutputs(this.#record.jobDirectory, this.#mask);
    for (const refusal of refusals) this.#sink.system(`${refusal}\n`);
    this.#resolve(
      resultOf({
        exit: this.#readExit(),
        start: readStart(this.#files),
        ending: this.#ending.wanted,
        usage,
        startTime: this.#startTime(),
        endTime: modifyTime(this.#files.exit) ?? new Date(),
        outputs,
      }),
    );
  }

  #lose(message: string): void {
    this.#resolve(resultWithout("lost", message, this.#startTime()));
  }

  #fail(error: unknown): void {
    this.#lose(`the job could not be followed: ${(error as Error).message}`);
  }

  #resolve(result: ExecutionResult): void {
    this.#ending.close();
    this.#over.resolve();
    this.#give({ ...result, message: this.#mask.text(result.message) });
  }
}

function unmaskedText(names: readonly string[]): string {
  return `not masked in the output, because shorter than ${minimumMasked_bytes} bytes or a common word: ${names.join(", ")}\n`;
}

function modifyTime(path: string): Date | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtime;
}
