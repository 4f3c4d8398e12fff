import { copyFunction } from "./output-files.ts";
import { lossFunction } from "./loss-limit.ts";
import { endFunctions, limitFunction } from "./time-limit.ts";

/**
 * The wrapper outlives the runner. Plain POSIX `sh`. Beside it, in its process group and never in the job's cgroup or account, are a
 * copier for each output, which takes what the job writes from its pipe into segments (`copyFunction`), and what ends the job where its time
 * is limited (`limitFunction`) or it is tried elsewhere (`lossFunction`): all of them whether a runner is there or not.
 *
 * Descriptors: 3 and 4 the job's outputs, 5 notices to the runner (`started`, `exit`, `lost`), 6 words from it (`go`, `done`; anything
 * else before `go` calls it off), 7 the launch file, 8 that the job
 * started, or why not.
 * The copiers close what is not theirs by `exec`, because a shell keeps copies of what it closes for one command. Their own
 * ends are open before the job starts and the wrapper keeps none for reading, so that a job whose copier was killed is
 * told by SIGPIPE instead of waiting for good. Once the job has ended the wrapper lets go of its outputs: a copier ends with the
 * last writer, or when the runner is done with it all.
 * Arguments: the execution's directory; the `cgroup.procs` to enter, or an empty string; then what to run. The job is in the
 * foreground, because a shell without job control starts background jobs with SIGINT ignored for good.
 */
export const wrapperScript = `
trap '' TERM INT HUP QUIT
directory=$1 cgroup=$2
shift 2
${copyFunction}
${endFunctions}
${limitFunction}
${lossFunction}
read -r word <&6 && [ "$word" = go ] || exit 0
exec 7<"$directory/launch" 8>"$directory/start" || exit 1
rm -f "$directory/launch"
exec 3<>"$directory/out" 4<>"$directory/err"
{ (exec <&9 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-; copy out) & } 9<"$directory/out"
{ (exec <&9 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-; copy err) & } 9<"$directory/err"
exec 3>"$directory/out" 4>"$directory/err"
for end in limit loss; do
  if [ -e "$directory/$end" ]; then { exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-; "$end"; } & fi
done
(
  trap - TERM INT HUP QUIT
  [ -z "$cgroup" ] || echo 0 >"$cgroup"
  exec setsid sh -c 'echo "$$" >"$1/job"; shift; exec "$@"' sh "$directory" "$@"
) <&7 >&3 2>&4 3>&- 4>&- 6>&- 7>&-
status=$?
exec 3>&- 4>&- 7<&- 8>&-
{ echo "$status"; times; } >"$directory/exit.new"
mv -f "$directory/exit.new" "$directory/exit"
echo exit >&5
while read -r word <&6; do
  [ "$word" = done ] && kill -KILL 0
done
`;

/** Variables that a shell sets, types or forbids to set by itself: exporting them would fail, or not arrive. */
const shellOwned = new Set(["BASHOPTS", "BASH_VERSINFO", "EUID", "LINENO", "OPTIND", "PPID", "SHELLOPTS", "UID"]);

/** Why a variable cannot be given to a job, or `undefined`. */
export function environmentFault(name: string, value: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `environment variable ${JSON.stringify(name)} is not a name`;
  if (shellOwned.has(name)) return `environment variable ${name} belongs to the shell`;
  if (value.includes("\0")) return `environment variable ${name} contains a NUL`;
  return undefined;
}

/**
 * The text fed to the job's own `sh` (as the job's user, so nothing of a declared environment touches a more privileged process):
 * it sets the environment, enters the directory and becomes the command, which is its arguments as they are. The file is removed
 * before the job starts, and secrets are on no command line.
 */
export function launchScript(env: ReadonlyMap<string, string>, directory: string): string {
  return `${settingScript(env, directory, 8)}
case $1 in
  */*) [ -x "$1" ] && [ ! -d "$1" ] || { printf 'command cannot be executed: %s\\n' "$1" >&8; exit 126; } ;;
  *) command -v -- "$1" >/dev/null 2>&1 || { printf 'command not found: %s\\n' "$1" >&8; exit 127; } ;;
esac
echo started >&8
echo started >&5
exec "$@" </dev/null 5>&- 8>&-
`;
}

/** The part of a job's shell that makes its surroundings; what stands in the way is said on the descriptor `faults`. */
export function settingScript(env: ReadonlyMap<string, string>, directory: string, faults: number): string {
  const exports = [...env].map(([name, value]) => `export ${name}=${quote(value)}`);
  return `cd -- ${quote(directory)} 2>/dev/null || { echo 'working directory does not exist or cannot be entered' >&${faults}; exit 126; }
unset OLDPWD LC_ALL
umask 022
${exports.join("\n")}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
