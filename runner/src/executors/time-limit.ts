import { writeFileSync } from "node:fs";

import { writeFileAtomically } from "../atomic-file.ts";
import { msPerTick } from "./process-tree.ts";
import type { Ending, ExecutionFiles, ExecutionRecord, ProcessIdentity } from "./record.ts";

/** How much later than the runner the wrapper acts, at least: it is there for a runner that is dead. */
const reserveMs = 1000;
/** `sleep` does not count suspension, so the clock is looked at least this often; while the job may still end by itself more often. */
export const longestNap_s = 10;
export const shortNap_s = 1;

/** When the time of a job is up, and when it has had its grace, on the boot clock. */
export type TimeLimit = { dueBootMs: number; killBootMs: number };

/** The limit of a job whose wrapper is this process; `undefined` where it may run for good. */
export function timeLimitOf({ spec }: ExecutionRecord, wrapper: ProcessIdentity): TimeLimit | undefined {
  if (spec.timeoutMs === undefined) return undefined;
  const dueBootMs = wrapper.startTicks * msPerTick + spec.timeoutMs;
  return { dueBootMs, killBootMs: dueBootMs + spec.graceMs };
}

/** The ending of a job whose time is up. */
export function timedOut({ spec }: ExecutionRecord, killAtBootMs: number): Ending {
  return { outcome: "timed_out", reason: `timed out after ${spec.timeoutMs} ms`, killAtBootMs };
}

/** Leaves what `limitFunction` goes by, if the job's time is limited. */
export function writeTimeLimit(files: ExecutionFiles, record: ExecutionRecord, wrapper: ProcessIdentity): void {
  const limit = timeLimitOf(record, wrapper);
  if (limit === undefined) return;
  writeFileAtomically(files.overtime, JSON.stringify(timedOut(record, limit.killBootMs)));
  const seconds = [limit.dueBootMs, limit.killBootMs].map((bootMs) => Math.ceil((bootMs + reserveMs) / 1000));
  writeFileSync(files.limit, `${seconds.join(" ")} ${record.uid ?? ""}\n`, { mode: 0o600 });
}

/**
 * Sh functions of a wrapper. `runs_until` waits until a second of the boot clock, looking at it at least as often as its second
 * argument says, and fails once the job is over. `end_job` ends the job: the ending that it leaves is the one prepared in the file named
 * first, unless a runner has left one before; SIGTERM to the job's group, and at the second named next SIGKILL to it, to its cgroup and
 * to the user named last, whatever of these there is. It ends with the wrapper, whose process id nobody else gets while this is of its group.
 */
export const endFunctions = `
runs_until() {
  while kill -0 "$$" && [ ! -e "$directory/exit" ]; do
    read -r now _ </proc/uptime || return
    nap=$(($1 - \${now%.*}))
    [ "$nap" -gt 0 ] || return 0
    [ "$nap" -le "$2" ] || nap=$2
    sleep "$nap"
  done
  return 1
}
end_job() {
  read -r job <"$directory/job" && [ "$job" -gt 1 ] || exit
  if [ ! -e "$directory/ending.json" ]; then
    ln "$directory/$1" "$directory/ending.json"
    kill -TERM -- "-$job"
    kill -CONT -- "-$job"
  fi
  runs_until "$2" ${shortNap_s} && kill -KILL -- "-$job"
  kill -0 "$$" || exit
  [ -z "$cgroup" ] || echo 1 >"\${cgroup%procs}kill"
  [ -z "$3" ] || setpriv --reuid="$3" --clear-groups -- sh -c 'kill -KILL -1'
}`;

/** The sh function `limit`, by which a wrapper ends its job when the time is up and nobody did; with `endFunctions`. */
export const limitFunction = `
limit() {
  read -r due last uid <"$directory/limit"
  runs_until "$due" ${longestNap_s} && end_job overtime.json "$last" "$uid"
}`;
