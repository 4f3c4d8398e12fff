import { rmSync, writeFileSync } from "node:fs";

import { writeFileAtomically } from "../atomic-file.ts";
import type { ProcessExecutorSettings } from "./process-settings.ts";
import { readProcess } from "./process-tree.ts";
import type { Ending, ExecutionFiles, ExecutionRecord } from "./record.ts";
import { longestNap_s, shortNap_s } from "./time-limit.ts";

/**
 * What of the grace there is for a job that is tried elsewhere: half of the least time after which the control plane, having waited for
 * it, does so.
 */
const graceShare = 0.025;

/**
 * Leaves when, on the boot clock, the control plane was last known to hear this process, and which process that is. What could not be written
 * down is taken away: by an older word jobs would be ended whose runner is well.
 */
export function writeContact(path: string, contactBootMs: number): void {
  const { startTicks } = readProcess(process.pid) ?? { startTicks: 0 };
  try {
    writeFileAtomically(path, `${Math.floor(contactBootMs / 1000)} ${process.pid} ${startTicks}\n`);
  } catch {
    rmSync(path, { force: true });
  }
}

/** Leaves what `lossFunction` goes by, where the control plane tries the job elsewhere once its runner was out of reach for some time. */
export function writeLossLimit(
  { contactFile }: ProcessExecutorSettings,
  files: ExecutionFiles,
  { spec, uid }: ExecutionRecord,
): void {
  const { lostAfterMs, graceMs } = spec;
  if (lostAfterMs === undefined) return;
  const ending: Ending = {
    outcome: "lost",
    reason: "its runner was dead, and the control plane tries this workload elsewhere",
    // The next runner has nothing to wait for: by then it is tried elsewhere.
    killAtBootMs: 0,
  };
  writeFileAtomically(files.abandoned, JSON.stringify(ending));
  const killAfterMs = lostAfterMs + Math.min(graceMs, lostAfterMs * graceShare);
  const seconds = [lostAfterMs, killAfterMs].map((ms) => Math.floor(ms / 1000));
  writeFileSync(files.loss, `${seconds.join(" ")} ${uid ?? ""}\n${contactFile}\n`, { mode: 0o600 });
}

/**
 * The sh function `loss`, by which a wrapper ends a job that the control plane is about to try elsewhere, where its runner is dead: one that
 * lives does so itself, sooner, and knows better, also if it cannot write. With `endFunctions`.
 */
export const lossFunction = `
is_runner() {
  read -r stat <"/proc/$1/stat" || return
  ticks=$2
  set -- \${stat##*) }
  [ "$1" != Z ] && [ "\${20}" = "$ticks" ]
}
loss() {
  { read -r after kill_after uid; IFS= read -r contact_file; } <"$directory/loss"
  nap=0
  while runs_until "$nap" ${longestNap_s}; do
    read -r now _ </proc/uptime || exit
    now=\${now%.*}
    nap=$((now + ${longestNap_s}))
    read -r contact pid ticks <"$contact_file" || continue
    if [ "$now" -lt $((contact + after)) ]; then
      [ "$nap" -le $((contact + after)) ] || nap=$((contact + after))
    elif is_runner "$pid" "$ticks"; then
      nap=$((now + ${shortNap_s}))
    else
      end_job abandoned.json $((contact + kill_after)) "$uid"
      exit
    fi
  done
}`;
