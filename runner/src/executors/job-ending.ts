import { atBootTime, bootTimeMs } from "../boot-clock.ts";
import { joinEndings } from "./ending.ts";
import type { Sink } from "./executor.ts";
import type { JobProcesses, KnownProcesses } from "./job-processes.ts";
import {
  type Ending,
  type ExecutionFiles,
  type ExecutionRecord,
  type ProcessIdentity,
  readEnding,
  writeEnding,
} from "./record.ts";
import { timeLimitOf, timedOut } from "./time-limit.ts";

/** How long a killed job may take to be gone before its result is given without it. */
const killPatienceMs = 30_000;

/** Of which job, and who is told. */
export type JobEndingDeps = {
  record: ExecutionRecord;
  files: ExecutionFiles;
  processes: JobProcesses;
  sink: Sink;
  /** An ending is wanted for the first time, or sooner. */
  onWanted(ending: Ending): void;
  /** The job was killed, and is not gone after all the time it may take. */
  onStuck(): void;
};

/**
 * That one job is to end, because somebody stops it or its time is up, and the carrying out: SIGTERM at once, SIGKILL after the grace.
 * What is wanted before there is a wrapper is carried out once there is one.
 */
export class JobEnding {
  readonly #deps: JobEndingDeps;
  #known: (() => KnownProcesses) | undefined;
  #wanted: Ending | undefined;
  #isClosed = false;
  #cancelLimit = (): void => undefined;
  #cancelKill = (): void => undefined;

  constructor(deps: JobEndingDeps) {
    this.#deps = deps;
  }

  /** `undefined`: the job may run. */
  get wanted(): Ending | undefined {
    return this.#wanted;
  }

  /** Takes up what an earlier process of the runner wanted, or the wrapper did. */
  recall(): void {
    this.#wanted ??= readEnding(this.#deps.files);
  }

  /** From now on there is a job under `wrapper`. */
  attach(wrapper: ProcessIdentity, known: () => KnownProcesses): void {
    this.#known = known;
    const { record } = this.#deps;
    const limit = timeLimitOf(record, wrapper);
    if (limit !== undefined) {
      this.#cancelLimit = atBootTime(limit.dueBootMs, () => {
        this.want(timedOut(record, bootTimeMs() + record.spec.graceMs));
      });
    }
    if (this.#wanted !== undefined) this.#carryOut(this.#wanted);
  }

  /** Has the job end: the first reason stays, the grace can only become shorter. Nothing happens once it is closed. */
  want(ending: Ending): void {
    if (this.#isClosed) return;
    const wanted = joinEndings(this.#wanted, ending);
    this.#wanted = wanted;
    try {
      writeEnding(this.#deps.files, wanted);
    } catch (error) {
      // A full disk must not keep a job alive; only a runner that adopts it would not know of the ending.
      this.#deps.sink.system(`the ending of the job could not be recorded: ${(error as Error).message}\n`);
    }
    this.#deps.onWanted(wanted);
    if (this.#known !== undefined) this.#carryOut(wanted);
  }

  /** The job's command runs now; an ending that came before must reach it, too. */
  started(): void {
    if (this.#wanted !== undefined) this.#deps.processes.signal("SIGTERM");
  }

  /** The job is over: nothing is sent to it any more. */
  close(): void {
    this.#isClosed = true;
    this.#cancelLimit();
    this.#cancelKill();
  }

  #carryOut({ killAtBootMs }: Ending): void {
    this.#deps.processes.signal("SIGTERM");
    this.#cancelKill();
    this.#cancelKill = atBootTime(killAtBootMs, () => this.#kill());
  }

  #kill(): void {
    const { processes, onStuck } = this.#deps;
    processes.signal("SIGKILL");
    if (this.#known !== undefined) void processes.killAll(this.#known());
    this.#cancelKill = atBootTime(bootTimeMs() + killPatienceMs, onStuck);
  }
}
