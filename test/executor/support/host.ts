import { openSync, writeSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { bootTimeMs } from "../../../runner/src/boot-clock.ts";
import type { Isolation, Sink } from "../../../runner/src/executors/executor.ts";
import { writeContact } from "../../../runner/src/executors/loss-limit.ts";
import { createProcessExecutor } from "../../../runner/src/executors/process.ts";
import { hostSecret, optionsIn, specOf } from "./world.ts";

// A runner reduced to its executor, for tests that kill it: `host.ts <directory> <isolation> <die after bytes> <time-out ms> <grace ms> <lost after ms or nothing> <git url or nothing> <command...>`.
// Standard output of the job goes to `<directory>/spool`; once that holds the given number of bytes the process kills itself.
const [
  directory = "",
  isolation = "none",
  dieAfterBytes = "Infinity",
  timeoutMs = "",
  graceMs = "",
  lostAfterMs = "",
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
const lostAfter = lostAfterMs === "" ? {} : { lostAfterMs: Number(lostAfterMs) };
const times = { timeoutMs: Number(timeoutMs), graceMs: Number(graceMs), ...lostAfter };
const spec = specOf(command, { env: [hostSecret], ...times, ...(gitUrl !== "" && { source }) });
const options = optionsIn(directory, isolation as Isolation);
writeContact(options.contactFile, bootTimeMs());
const executor = createProcessExecutor(options);
const execution = await executor.start(spec, sink);
await execution.result;
