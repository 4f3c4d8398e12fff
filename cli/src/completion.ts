import { longFlag, type CommandShape, type Option, type Options } from "./command-shape.ts";
import { globalOptions } from "./global-options.ts";
import { groupSummaries } from "./help.ts";

/** Those for which there is a completion script. */
export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

export function isShell(text: string): text is Shell {
  return shells.some((shell) => shell === text);
}

/** A place in a command line: the words before it, and what may come next. */
interface Place {
  readonly path: string;
  readonly words: readonly Suggestion[];
  readonly flags: readonly Flag[];
}

interface Suggestion {
  readonly word: string;
  readonly help: string;
}

interface Flag extends Suggestion {
  readonly short: string | undefined;
  readonly takesValue: boolean;
  /** Empty where any value goes. */
  readonly choices: readonly string[];
}

/** A script for `shell` that completes every command, option and choice; made from the same tree as the parser. */
export function completionScript(shell: Shell, commands: readonly CommandShape[]): string {
  const places = listPlaces(commands);
  switch (shell) {
    case "bash":
      return bashScript(places);
    case "zsh":
      return `#compdef agynctl\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(places)}`;
    case "fish":
      return fishScript(places);
  }
}

function listPlaces(commands: readonly CommandShape[]): Place[] {
  const groups = new Map<string, Suggestion[]>([["", []]]);
  for (const { path, summary } of commands) {
    const [group = "", verb] = path;
    const root = groups.get("")!;
    if (!root.some(({ word }) => word === group))
      root.push({ word: group, help: verb === undefined ? summary : (groupSummaries[group] ?? "") });
    if (verb !== undefined) groups.set(group, [...(groups.get(group) ?? []), { word: verb, help: summary }]);
  }
  const inner = [...groups].map(([path, words]) => ({
    path,
    words,
    flags: path === "" ? [...toFlags(globalOptions), versionFlag] : toFlags({}),
  }));
  const leaves = commands.map(({ path, options }) => ({
    path: path.join(" "),
    words: [],
    flags: toFlags({ ...options, ...globalOptions }),
  }));
  // A command that is a group, too, takes its own flags and the words of the group.
  const places = [
    ...inner.map((place) => ({
      ...place,
      flags: leaves.find(({ path }) => path === place.path)?.flags ?? place.flags,
    })),
    ...leaves.filter(({ path }) => path !== "help" && !groups.has(path)),
  ];
  const helped = inner.map(({ path, words }) => ({ path: `help ${path}`.trim(), words, flags: toFlags({}) }));
  return [...places, ...helped];
}

const versionFlag: Flag = {
  word: "--version",
  help: "show agynctl's own version",
  short: undefined,
  takesValue: false,
  choices: [],
};

function toFlags(options: Options): Flag[] {
  const flags = Object.entries(options).map(([key, option]) => ({
    word: longFlag(key),
    help: option.help,
    short: option.short,
    takesValue: option.kind !== "flag",
    choices: choicesOf(option),
  }));
  return [...flags, { word: "--help", help: "show help", short: "h", takesValue: false, choices: [] }];
}

function choicesOf(option: Option): readonly string[] {
  return option.kind === "text" || option.kind === "list" ? (option.choices ?? []) : [];
}

function bashScript(places: readonly Place[]): string {
  const words = places.map(({ path, words: next, flags }) => {
    const list = [...next.map(({ word }) => word), ...flags.map(({ word }) => word)].join(" ");
    return `    "${path}") words="${list}" ;;`;
  });
  const choices = places.flatMap(({ path, flags }) =>
    flags.flatMap((flag) =>
      flag.choices.length === 0
        ? []
        : [`    "${path} ${flag.word}"${shortCase(path, flag)}) words="${flag.choices.join(" ")}"; return 0 ;;`],
    ),
  );
  const valued = [
    ...new Set(places.flatMap(({ flags }) => flags.filter(({ takesValue }) => takesValue).flatMap(bothForms))),
  ];
  const pathCases = places.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  return `_agynctl_values() {
  case "$1 $2" in
${choices.join("\n")}
  esac
  return 1
}
_agynctl() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" index word next
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    case "$word" in
      --) return ;;
      ${valued.join("|")}) ((index++)); continue ;;
      -*) continue ;;
    esac
    next="\${path:+$path }$word"
    case "$next" in
      ${pathCases.join("|")}) path="$next" ;;
    esac
  done
  if _agynctl_values "$path" "$previous"; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  case "$previous" in
    ${valued.join("|")}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "$path" in
${words.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _agynctl agynctl ./agynctl`;
}

function bothForms({ word, short }: Flag): string[] {
  return short === undefined ? [word] : [word, `-${short}`];
}

function shortCase(path: string, { short }: Flag): string {
  return short === undefined ? "" : `|"${path} -${short}"`;
}

function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words, flags }) => {
    const condition = fishCondition(path);
    return [
      ...words.map(({ word, help }) => `complete -c agynctl -n '${condition}' -f -a '${word}' -d ${fishQuote(help)}`),
      ...flags.map(
        (flag) =>
          `complete -c agynctl -n '${condition}' -l '${flag.word.slice(2)}'${fishFlag(flag)} -d ${fishQuote(flag.help)}`,
      ),
    ];
  });
  return `function __agynctl_at
    set -l words (commandline -opc | string match -v -- '-*')
    test (string join ' ' $words[2..]) = "$argv"
end
function __agynctl_below
    set -l words (commandline -opc | string match -v -- '-*')
    string match -q -- "$argv*" (string join ' ' $words[2..])
end
${lines.join("\n")}`;
}

/** Words are offered right at their place; a command's flags also behind its arguments. */
function fishCondition(path: string): string {
  if (path === "") return "__agynctl_at";
  return path.includes(" ") ? `__agynctl_below ${path}` : `__agynctl_at ${path}`;
}

function fishFlag({ short, takesValue, choices }: Flag): string {
  const letter = short === undefined ? "" : ` -s ${short}`;
  const values = choices.length > 0 ? ` -f -a '${choices.join(" ")}'` : "";
  return `${letter}${takesValue ? " -r" : ""}${values}`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
