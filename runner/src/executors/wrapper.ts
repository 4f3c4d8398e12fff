/**
 * The wrapper outlives the runner. Plain POSIX `sh`; the runner hands it the pipes already open for reading and writing, so a job
 * whose runner is gone blocks on a full pipe instead of dying of SIGPIPE, and what it wrote stays until a runner reads it.
 *
 * Descriptors: 3 and 4 the job's outputs, 5 notices to the runner (`started`, `exit`), 6 words from it (`go`, `done`; anything
 * else before `go` calls it off), 7 the launch file, 8 that the job
 * started, or why not.
 * Arguments: the execution's directory; the `cgroup.procs` to enter, or an empty string; then what to run. The job is in the
 * foreground, because a shell without job control starts background jobs with SIGINT ignored for good.
 */
export const wrapperScript = `
trap '' TERM INT HUP QUIT
directory=$1 cgroup=$2
shift 2
read -r word <&6 && [ "$word" = go ] || exit 0
exec 7<"$directory/launch" 8>"$directory/start" || exit 1
rm -f "$directory/launch"
(
  trap - TERM INT HUP QUIT
  [ -z "$cgroup" ] || echo 0 >"$cgroup"
  exec setsid sh -c 'echo "$$" >"$1/job"; shift; exec "$@"' sh "$directory" "$@"
) <&7 >&3 2>&4 3>&- 4>&- 6>&- 7>&-
status=$?
exec 7<&- 8>&-
{ echo "$status"; times; } >"$directory/exit.new"
mv -f "$directory/exit.new" "$directory/exit"
echo exit >&5
while read -r word <&6; do
  [ "$word" = done ] && exit 0
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
  const exports = [...env].map(([name, value]) => `export ${name}=${quote(value)}`);
  return `cd -- ${quote(directory)} 2>/dev/null || { echo 'working directory does not exist or cannot be entered' >&8; exit 126; }
unset OLDPWD LC_ALL
umask 022
${exports.join("\n")}
case $1 in
  */*) [ -x "$1" ] && [ ! -d "$1" ] || { printf 'command cannot be executed: %s\\n' "$1" >&8; exit 126; } ;;
  *) command -v -- "$1" >/dev/null 2>&1 || { printf 'command not found: %s\\n' "$1" >&8; exit 127; } ;;
esac
echo started >&8
echo started >&5
exec "$@" </dev/null 5>&- 8>&-
`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
