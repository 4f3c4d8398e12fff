/**
 * The way into a job: a command that becomes one of its processes. It joins the job's cgroup, user and namespaces from outside, and
 * the job's environment is set only in there, by a shell that has no privileges any more. It is found by the same marks as
 * everything else of the job, and ends with it.
 */
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";

import { enteredByPipes } from "./entered-by-pipes.ts";
import { enteredByTerminal } from "./entered-by-terminal.ts";
import type { EnterRequest, Entered, Entrance, WorkloadSpec } from "./executor.ts";
import { enteringArgv } from "./isolation.ts";
import { startDirectory } from "./job-directory.ts";
import { jobEnvironment } from "./job-environment.ts";
import { enclosureOf } from "./launch.ts";
import type { ProcessExecutorSettings } from "./process-settings.ts";
import { executionFiles, type ExecutionRecord } from "./record.ts";
import { readSecrets } from "./secret-file.ts";
import { settingScript } from "./wrapper.ts";

const usualTerminal = "xterm-256color";
/** How long a connection to a port of this machine may take. */
const connectTimeoutMs = 5000;
/** Both loopback addresses, in the order in which they are tried. */
const loopbacks = ["127.0.0.1", "::1"] as const;

/**
 * As the runner's user. Arguments: the file that makes the surroundings, which is removed once it is open as descriptor 7; the
 * `cgroup.procs` to enter, or an empty string; who is to own the terminal, or an empty string; then what to run.
 */
const outerScript = `
exec 7<"$1" || exit 125
rm -f "$1"
[ -z "$2" ] || echo 0 >"$2" || exit 125
[ -z "$3" ] || chown "$3" /proc/self/fd/0 || exit 125
shift 3
exec "$@"
`;

/** As the job's user. */
const innerScript = `
eval "$(cat <&7)"
exec 7<&-
case $1 in
  */*) ;;
  *) command -v -- "$1" >/dev/null 2>&1 || { printf 'command not found: %s\\n' "$1" >&2; exit 127; } ;;
esac
exec "$@"
`;

/** The way into the job of a record, until it has `ended`; `jobPid` is of what encloses it. */
export function createEntrance(
  settings: ProcessExecutorSettings,
  record: ExecutionRecord,
  { jobPid, ended }: { jobPid: number; ended: Promise<void> },
): Entrance {
  const { spec, uid, isolation, cgroup, jobDirectory } = record;
  const files = executionFiles(join(settings.directory, `${spec.workloadId}.${spec.fence}`));
  const directory = startDirectory(spec, jobDirectory);

  const writeSurroundings = (terminalType: string | undefined): string => {
    const env = readSecrets(files.secrets, spec, settings.sealingKey);
    if (env === undefined) throw new Error("the secrets of its environment cannot be told any more");
    const facts = { jobDirectory, runnerId: settings.runnerId, path: settings.path };
    const variables = jobEnvironment({ ...spec, env } satisfies WorkloadSpec, facts);
    if (terminalType !== undefined) variables.set("TERM", terminalType === "" ? usualTerminal : terminalType);
    const path = join(files.directory, `enter.${randomBytes(8).toString("hex")}`);
    writeFileSync(path, settingScript(variables, directory, 2), { mode: 0o600, flag: "wx" });
    return path;
  };

  return {
    organizationId: spec.organizationId,
    directory,
    ended,
    async enter({ argv, terminal }: EnterRequest): Promise<Entered> {
      const surroundings = writeSurroundings(terminal?.type);
      const owner = terminal !== undefined && uid !== undefined ? String(uid) : "";
      const membership = cgroup === undefined ? "" : join(cgroup, "cgroup.procs");
      const entering = enteringArgv(enclosureOf(settings, record), jobPid);
      const args = [
        "-c",
        outerScript,
        "agyn-enter",
        surroundings,
        membership,
        owner,
        ...entering,
        "sh",
        "-c",
        innerScript,
        "sh",
      ];
      const command = { args: [...args, ...argv], sparesLeader: isolation === "namespace" };
      try {
        return terminal === undefined ? await enteredByPipes(command) : await enteredByTerminal(command, terminal);
      } catch (error) {
        rmSync(surroundings, { force: true });
        throw error;
      }
    },
    connect: (port, signal) => connectLoopback(port, signal),
  };
}

/** Jobs have this machine's network: its loopback address is theirs. */
async function connectLoopback(port: number, signal: AbortSignal): Promise<Duplex> {
  let fault: unknown;
  for (const host of loopbacks) {
    try {
      return await connectTo(host, port, signal);
    } catch (error) {
      fault ??= error;
    }
  }
  throw fault;
}

function connectTo(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const socket = connectTcp({ host, port, allowHalfOpen: true, noDelay: true, signal });
  const late = setTimeout(() => socket.destroy(new Error(`no answer in ${connectTimeoutMs} ms`)), connectTimeoutMs);
  socket.once("error", reject);
  socket.once("connect", () => resolve(socket));
  return promise.finally(() => {
    clearTimeout(late);
    socket.off("error", reject);
  });
}
