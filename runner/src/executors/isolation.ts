import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Isolation } from "./executor.ts";
import { defaultUidRange } from "./job-uids.ts";

const detectTimeoutMs = 5000;

/** What no job may look into, absolute: directories, which must be there, and files, which are passed over where they are not. */
export type HiddenPaths = { directories: readonly string[]; files: readonly string[] };

/** What to put before a command so that it runs kept apart. */
export type Enclosure =
  | { isolation: "uid"; uid: number }
  | { isolation: "namespace"; hidden: HiddenPaths; jobDirectory: string }
  | { isolation: "none" };

/**
 * Inside a fresh user, mount and process namespace: lays nothing over each hidden file, and an empty read-only tmpfs over each hidden
 * directory, with the job's own directory, opened before, bound back in; then enters a second user namespace, which has the user's own id again and no right to
 * undo the mounts. The last shell is process 1 of the namespace: it waits for the job, says nothing, and with it everything in there dies.
 */
const namespaceScript = `
uid=$1 gid=$2 job=$3 hidden=$4
shift 4
fail() { echo "namespace of the job could not be made: $1" >&8; exit 125; } 2>/dev/null
exec 9<"$job" || fail "$job cannot be entered"
while [ "$hidden" -gt 0 ]; do
  if [ -f "$1" ]; then
    mount --bind /dev/null "$1" || fail "$1 cannot be hidden"
    shift
    hidden=$((hidden - 1))
    continue
  fi
  mount -t tmpfs -o mode=0755,size=64k tmpfs "$1" || fail "$1 cannot be hidden"
  case $job/ in
    "$1"/*)
      mkdir -p "$job" && mount --no-canonicalize --bind /proc/self/fd/9 "$job" && mount -o remount,bind,ro "$1" || fail "$job cannot be kept" ;;
    *) mount -o remount,bind,ro "$1" || fail "$1 cannot be sealed" ;;
  esac
  shift
  hidden=$((hidden - 1))
done
exec 9<&-
exec unshare --user --map-user="$uid" --map-group="$gid" -- sh -c 'exec 9>&2 2>/dev/null; (exec "$@" 2>&9 9>&-); exit $?' sh "$@"
`;

/** The argument vector to which the command to be run is appended. */
export function enclosingArgv(enclosure: Enclosure): string[] {
  switch (enclosure.isolation) {
    case "uid": {
      const id = String(enclosure.uid);
      const drop = [
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--bounding-set=-all",
      ];
      return ["setpriv", `--reuid=${id}`, `--regid=${id}`, ...drop, "--"];
    }
    case "namespace": {
      const fresh = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
      const { hidden, jobDirectory } = enclosure;
      const ids = [String(process.getuid?.() ?? 0), String(process.getgid?.() ?? 0)];
      const covers = coversOf(hidden);
      const paths = [jobDirectory, String(covers.length), ...covers];
      return ["unshare", ...fresh, "--", "sh", "-c", namespaceScript, "sh", ...ids, ...paths];
    }
    case "none":
      return [];
  }
}

/** What is to be covered one after the other, so that all of it is hidden: what lies in a hidden directory is hidden with it. */
function coversOf({ directories, files }: HiddenPaths): string[] {
  const isInside = (path: string) => directories.some((other) => path.startsWith(`${other}/`));
  return [...files.filter((file) => existsSync(file)), ...directories].filter((path) => !isInside(path));
}

/**
 * What to put before a command so that it joins a job that runs enclosed; `jobPid` is of what encloses it. The fork into the namespace
 * is left to `unshare`, which does not die while it waits of what is typed to interrupt the command.
 */
export function enteringArgv(enclosure: Enclosure, jobPid: number): string[] {
  if (enclosure.isolation !== "namespace") return enclosingArgv(enclosure);
  const at = `/proc/${jobPid}/ns`;
  const outer = [`--user=${at}/user`, `--mount=${at}/mnt`, `--pid=${at}/pid_for_children`];
  // The inner user namespace, in which nothing can undo the mounts, is that of process 1 in there.
  const inner = ["nsenter", "--target", "1", "--user", "--preserve-credentials", "--"];
  return ["nsenter", "--no-fork", ...outer, "--preserve-credentials", "--", "unshare", "--fork", "--", ...inner];
}

/** The strongest isolation that works for this process here, found by doing it. */
export async function detectIsolation(): Promise<Isolation> {
  if (await canIsolate("uid")) return "uid";
  return (await canIsolate("namespace")) ? "namespace" : "none";
}

/** Whether an isolation works for this process here, found by doing it. */
export async function canIsolate(isolation: Isolation): Promise<boolean> {
  if (isolation === "none") return true;
  if (isolation === "uid") return process.getuid?.() === 0 && (await works({ isolation, uid: defaultUidRange.first }));
  const directory = mkdtempSync(join(tmpdir(), "agyn-isolation-"));
  try {
    const jobDirectory = join(directory, "job");
    mkdirSync(jobDirectory);
    return await works({ isolation, hidden: { directories: [directory], files: [] }, jobDirectory });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function works(enclosure: Enclosure): Promise<boolean> {
  const [file, ...args] = [...enclosingArgv(enclosure), "true"];
  return new Promise((resolve) => {
    execFile(file, args, { timeout: detectTimeoutMs, killSignal: "SIGKILL" }, (error) => resolve(error === null));
  });
}
