import { execFile, spawn } from "node:child_process";
import { chownSync, closeSync, constants, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import type { Sink, WorkloadSpec } from "./executor.ts";
import { checkOut, gitEnvironment } from "./git-source.ts";
import { type Enclosure, enclosingArgv } from "./isolation.ts";
import { commandArgv, createJobDirectory, jobPaths, startDirectory } from "./job-directory.ts";
import { jobEnvironment, workloadMark } from "./job-environment.ts";
import { createOutputFile } from "./job-outputs.ts";
import type { ProcessExecutorSettings } from "./process-settings.ts";
import { readProcess } from "./process-tree.ts";
import { type ExecutionFiles, type ExecutionRecord, type ProcessIdentity, writeWrapper } from "./record.ts";
import { writeLossLimit } from "./loss-limit.ts";
import { writeTimeLimit } from "./time-limit.ts";
import { putFile, unpack } from "./unpack.ts";
import { launchScript, wrapperScript } from "./wrapper.ts";

/** What a launch needs; `spec` has the secret values that the record has not. */
type Launch = {
  settings: ProcessExecutorSettings;
  record: ExecutionRecord;
  files: ExecutionFiles;
  spec: WorkloadSpec;
  sink: Sink;
  signal: AbortSignal;
};

/** Prepares the job's directory and source, starts the wrapper and puts it on record. It waits for the word `go`. */
export async function launch(request: Launch): Promise<ProcessIdentity> {
  const { settings, record, files, spec } = request;
  const { jobDirectory } = record;
  createJobDirectory(jobDirectory, spec.command, record.uid);
  createOutputFile(jobDirectory, record.uid);
  const enclosing = enclosingArgv(enclosureOf(settings, record));
  const env = jobEnvironment(spec, { jobDirectory, runnerId: settings.runnerId, path: settings.path });
  await bringSource(request, enclosing);
  writeFileSync(files.launch, launchScript(env, startDirectory(spec, jobDirectory)), { mode: 0o600, flag: "wx" });
  await makePipes(files, record.uid);
  request.signal.throwIfAborted();

  const job = [...enclosing, "sh", "-s", "--", ...commandArgv(spec.command, jobDirectory)];
  const cgroup = record.cgroup === undefined ? "" : join(record.cgroup, "cgroup.procs");
  const wrapper = spawnWrapper(files, [files.directory, cgroup, ...job]);
  writeWrapper(files, wrapper);
  writeTimeLimit(files, record, wrapper);
  writeLossLimit(settings, files, record);
  return wrapper;
}

/** What keeps the job of a record apart. */
export function enclosureOf(settings: ProcessExecutorSettings, record: ExecutionRecord): Enclosure {
  const { isolation, jobDirectory, uid } = record;
  if (isolation === "uid" && uid !== undefined) return { isolation, uid };
  if (isolation === "namespace") return { isolation, hidden: settings.hidden, jobDirectory };
  return { isolation: "none" };
}

/** Brings everything into the workspace that the job starts with; all of it in the time for a source. */
async function bringSource(asked: Launch, enclosing: string[]): Promise<void> {
  const { settings, signal } = asked;
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort(new Error(`source was not there after ${settings.sourceTimeoutMs} ms`));
  }, settings.sourceTimeoutMs);
  const bounded = { ...asked, signal: AbortSignal.any([signal, late.signal]) };
  try {
    await bringBundle(bounded);
    await bringRepository(bounded, enclosing);
    await bringArtifacts(bounded);
  } catch (error) {
    throw late.signal.aborted ? late.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

async function bringBundle({ settings, record, spec, sink, signal }: Launch): Promise<void> {
  if (spec.bundle === undefined) return;
  const { workspace } = jobPaths(record.jobDirectory);
  const count = await unpack({ workspace, uid: record.uid }, "", settings.readContent(spec, spec.bundle, signal));
  sink.system(`unpacked a bundle of ${count} ${count === 1 ? "file" : "files"}\n`);
}

async function bringArtifacts({ settings, record, spec, sink, signal }: Launch): Promise<void> {
  const files = { workspace: jobPaths(record.jobDirectory).workspace, uid: record.uid };
  for (const { name, directory, ...content } of spec.downloads ?? []) {
    const bytes = settings.readContent(spec, content, signal);
    try {
      if (directory) await unpack(files, name, bytes);
      else await putFile(files, name, bytes);
    } catch (error) {
      throw new Error(`artifact ${name}: ${(error as Error).message}`, { cause: error });
    }
    sink.system(`got the artifact ${name}${directory ? "/" : ""}, ${content.sizeBytes} bytes\n`);
  }
}

async function bringRepository({ settings, record, spec, sink, signal }: Launch, enclosing: string[]): Promise<void> {
  if (spec.source === undefined) return;
  const { home, workspace } = jobPaths(record.jobDirectory);
  const config = join(home, ".gitconfig");
  writeFileSync(config, "[safe]\n\tdirectory = *\n", { flag: "wx", mode: 0o644 });
  if (record.uid !== undefined) chownSync(config, record.uid, record.uid);
  const facts = { jobDirectory: record.jobDirectory, runnerId: settings.runnerId, path: settings.path };
  const env = gitEnvironment(jobEnvironment({ ...spec, env: [] }, facts), config);
  const checkout = { enclosingArgv: enclosing, env, workspace, signal };
  await checkOut(spec.source, { ...checkout, system: (text) => sink.system(text) });
}

/** The outputs belong to the job's user, so that it may open `/dev/stdout` anew. */
async function makePipes(files: ExecutionFiles, uid: number | undefined): Promise<void> {
  const { stdout, stderr } = files;
  const pipes = [stdout.pipe, stdout.room, stderr.pipe, stderr.room, files.notify, files.control];
  await promisify(execFile)("mkfifo", ["-m", "600", "--", ...pipes]);
  if (uid !== undefined) for (const { pipe } of [stdout, stderr]) chownSync(pipe, uid, uid);
  mkdirSync(stdout.directory, { mode: 0o700 });
}

/** The wrapper leads its own session and has nothing of the runner's environment but the search path. */
function spawnWrapper(files: ExecutionFiles, args: string[]): ProcessIdentity {
  const pipes = [files.notify, files.control].map((path) => openSync(path, constants.O_RDWR));
  try {
    const child = spawn("sh", ["-c", wrapperScript, "agyn-wrapper", ...args], {
      cwd: "/",
      detached: true,
      env: { PATH: process.env["PATH"], LC_ALL: "C" },
      stdio: ["ignore", "ignore", "ignore", "ignore", "ignore", ...pipes],
    });
    child.on("error", () => undefined);
    child.unref();
    const wrapper = child.pid === undefined ? undefined : readProcess(child.pid);
    if (wrapper === undefined) throw new Error("the wrapper of the job could not be started");
    return { pid: wrapper.pid, startTicks: wrapper.startTicks };
  } finally {
    for (const pipe of pipes) closeSync(pipe);
  }
}

/** Says a word to the wrapper; without a wrapper nothing happens. */
export function tellWrapper(files: ExecutionFiles, word: "go" | "done" | "abort"): void {
  let pipe: number;
  try {
    pipe = openSync(files.control, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENXIO" || code === "ENOENT") return;
    throw error;
  }
  try {
    writeSync(pipe, `${word}\n`);
  } finally {
    closeSync(pipe);
  }
}

/** The environment entries by which processes of this execution are found; none where the user alone tells. */
export function environmentMark(record: ExecutionRecord): string[] {
  return record.uid === undefined ? workloadMark(record.spec).map((pair) => pair.join("=")) : [];
}
