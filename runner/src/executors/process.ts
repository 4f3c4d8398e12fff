import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { maximumSecretBytes } from "../../../wire/secrets.ts";
import { bootTimeMs, readBootId } from "../boot-clock.ts";
import { createCgroup } from "./cgroup.ts";
import { resultWithout } from "./ending.ts";
import type { AdoptedExecution, Execution, Executor, Sink, WorkloadSpec } from "./executor.ts";
import { refFault, urlFault } from "./git-source.ts";
import { openJobRoot, workingDirectoryFault } from "./job-directory.ts";
import { claimUid, defaultClaimsDirectory, defaultUidRange, releaseUid } from "./job-uids.ts";
import { createMask, hidingMask, type Mask } from "./mask.ts";
import { ProcessExecution } from "./process-execution.ts";
import type { ProcessExecutorOptions, ProcessExecutorSettings } from "./process-settings.ts";
import { msPerTick } from "./process-tree.ts";
import { type ExecutionRecord, executionFiles, readRecord, writeRecord } from "./record.ts";
import { readSecrets, sealingKeyBytes, writeSecrets } from "./secret-file.ts";
import { environmentFault } from "./wrapper.ts";

const tenMinutesMs = 10 * 60 * 1000;
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The executor `process`: each workload is a process tree of this machine, below a wrapper that outlives the runner. */
export function createProcessExecutor(options: ProcessExecutorOptions): Executor {
  const settings: ProcessExecutorSettings = {
    uidRange: defaultUidRange,
    uidClaimsDirectory: defaultClaimsDirectory,
    path: process.env["PATH"] ?? usualPath,
    sourceTimeoutMs: tenMinutesMs,
    hiddenWhereThere: [],
    readContent: () => {
      throw new Error("this runner has no control plane to read content from");
    },
    sealingKey: randomBytes(sealingKeyBytes),
    ...options,
    bootId: readBootId(),
    jobRoot: openJobRoot(options.jobsDirectory, options.isolation),
  };
  mkdirSync(settings.directory, { recursive: true, mode: 0o700 });
  return {
    name: "process",
    refusal: () => undefined,
    start: (spec, sink) => start(settings, spec, sink),
    adopt: (sinkFor) => adopt(settings, sinkFor),
    probe: () => probe(settings),
  };
}

async function start(settings: ProcessExecutorSettings, spec: WorkloadSpec, sink: Sink): Promise<Execution> {
  const fault = specFault(spec);
  if (fault !== undefined) return failedStart(spec, fault);
  const name = `${spec.workloadId}.${spec.fence}`;
  const files = executionFiles(join(settings.directory, name));
  if (existsSync(files.directory)) {
    return failedStart(spec, `workload ${spec.workloadId} with fence ${spec.fence} is already on this runner`);
  }
  let uid: number | undefined;
  try {
    mkdirSync(files.directory, { mode: 0o700 });
    if (settings.isolation === "uid") uid = claimUid(settings.uidClaimsDirectory, settings.uidRange, files.directory);
    const cgroup = createCgroup(`${name}.${process.pid}`);
    const record: ExecutionRecord = {
      version: 2,
      spec,
      bootId: settings.bootId,
      isolation: settings.isolation,
      ...(uid !== undefined && { uid }),
      jobDirectory: join(settings.jobRoot, name),
      ...(cgroup !== undefined && { cgroup }),
      createTime: new Date().toISOString(),
      createBootTicks: Math.floor(bootTimeMs() / msPerTick),
    };
    writeSecrets(files.secrets, spec, settings.sealingKey);
    writeRecord(files, record);
    const execution = new ProcessExecution(settings, record, { sink, mask: createMask(spec.env) });
    execution.begin(spec);
    return execution;
  } catch (error) {
    if (uid !== undefined) releaseUid(settings.uidClaimsDirectory, uid, files.directory);
    rmSync(files.directory, { recursive: true, force: true });
    return failedStart(spec, (error as Error).message);
  }
}

/** Why a spec cannot be executed, or `undefined`. Pure. */
function specFault(spec: WorkloadSpec): string | undefined {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(spec.workloadId)) return "workload id is not one";
  const { command, source } = spec;
  if (command.kind === "argv" && (command.argv[0] ?? "") === "") return "command is empty";
  if (command.kind === "argv" && command.argv.some((argument) => argument.includes("\0")))
    return "command contains a NUL";
  for (const { name, value } of spec.env) {
    const fault = environmentFault(name, value);
    if (fault !== undefined) return fault;
  }
  const secretBytes = spec.env.reduce((sum, { secret, value }) => sum + (secret ? Buffer.byteLength(value) : 0), 0);
  if (secretBytes > maximumSecretBytes) return `its secrets have more than ${maximumSecretBytes} bytes in sum`;
  return (
    (spec.workingDirectory === undefined ? undefined : workingDirectoryFault(spec.workingDirectory)) ??
    (source === undefined ? undefined : (urlFault(source.url) ?? refFault(source.ref)))
  );
}

function failedStart(spec: WorkloadSpec, message: string): Execution {
  return {
    workloadId: spec.workloadId,
    fence: spec.fence,
    result: Promise.resolve(resultWithout("start_failed", message, new Date())),
    stop: () => undefined,
    resume: () => undefined,
    usage: () => ({ cpuMs: 0, memoryPeakBytes: 0, sampled: true }),
    forget: () => Promise.resolve(),
  };
}

async function adopt(
  settings: ProcessExecutorSettings,
  sinkFor: (spec: WorkloadSpec) => Sink,
): Promise<AdoptedExecution[]> {
  const adopted: AdoptedExecution[] = [];
  for (const name of readdirSync(settings.directory)) {
    const files = executionFiles(join(settings.directory, name));
    if (!existsSync(files.record)) {
      // Killed before the record was there, or in the middle of forgetting: nothing ran, or nothing is left.
      rmSync(files.directory, { recursive: true, force: true });
      continue;
    }
    const record = readRecord(files);
    if (record === undefined) continue;
    const output = { sink: sinkFor(record.spec), mask: maskOf(record, files.secrets, settings.sealingKey) };
    const execution = new ProcessExecution(settings, record, output);
    execution.adopt();
    adopted.push({ spec: record.spec, execution });
  }
  return adopted;
}

/** What hides the secrets of a job that an earlier process began. */
function maskOf({ spec }: ExecutionRecord, file: string, key: Uint8Array): Mask {
  const env = readSecrets(file, spec, key);
  return env === undefined ? hidingMask : createMask(env);
}

const neededPrograms = ["sh", "setsid", "mkfifo", "dd", "ln", "mv", "rm", "sleep"];

async function probe(settings: ProcessExecutorSettings): ReturnType<Executor["probe"]> {
  if (process.platform !== "linux")
    return { usable: false, reason: `executor process needs linux, this is ${process.platform}` };
  const folders = (process.env["PATH"] ?? usualPath).split(":");
  const missing = neededPrograms.filter((program) => !folders.some((folder) => existsSync(join(folder, program))));
  if (missing.length > 0) return { usable: false, reason: `executor process needs ${missing.join(", ")}` };
  return {
    usable: true,
    isolation: settings.isolation,
    facts: { jobs_directory: settings.jobRoot, path: settings.path },
  };
}
