import { openSync, writeSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Isolation, Sink } from "../../../runner/src/executors/executor.ts";
import { createProcessExecutor } from "../../../runner/src/executors/process.ts";
import { hostSecret, optionsIn, specOf } from "./world.ts";

// A runner reduced to its executor, for tests that kill it: `host.ts <directory> <isolation> <die after bytes> <time-out ms> <grace ms> <git url or nothing> <command...>`.
// Standard output of the job goes to `<directory>/spool`; once that holds the given number of bytes the process kills itself.
const [
  directory = "",
  isolation = "none",
  dieAfterBytes = "Infinity",
  timeoutMs = "",
  graceMs = "",
  gitUrl = "",
  ...command
] = process.argv.slice(2);
const spool = openSync(join(directory, "spool"), "a", 0o600);
let spooledBytes = 0;

const sink: Sink = {
  output(stream, bytes) {
    if (stream === "stdout") spooledBytes += writeSync(spool, bytes);
    if (spooledBytes >= Number(dieAfterBytes)) process.kill(process.pid, "SIGKILL");
    return undefined;
  },
  position: () => ({ line: spooledBytes, heldBytes: 0 }),
  system: () => undefined,
  started: () => writeFileSync(join(directory, "started"), ""),
};

const source = { kind: "git", url: gitUrl, ref: "main" } as const;
const times = { timeoutMs: Number(timeoutMs), graceMs: Number(graceMs) };
const spec = specOf(command, { env: [hostSecret], ...times, ...(gitUrl !== "" && { source }) });
const executor = createProcessExecutor(optionsIn(directory, isolation as Isolation));
const execution = await executor.start(spec, sink);
await execution.result;
