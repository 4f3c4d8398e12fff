import { existsSync } from "node:fs";
import { ConfigError, unknownFlag } from "./config.ts";
import { settings, type SettingName } from "./settings.ts";

/** What a command line says: settings by name, a command, and the settings file. */
export type Arguments = { flags: Record<string, string>; command: string; file: string | undefined };

const usualFile = "agyn.toml";

/**
 * Takes a command line apart: `--name value`, `--name=value`, and words that are commands, of which the first is meant where none is
 * given. Flags are not left to a library, so that an unknown one is answered with the nearest setting.
 */
export function readArguments(argv: readonly string[], commands: readonly [string, ...string[]]): Arguments {
  const flags: Record<string, string> = {};
  let [command] = commands;
  let file = existsSync(usualFile) ? usualFile : undefined;
  for (let position = 0; position < argv.length; position += 1) {
    const word = argv[position]!;
    if (!word.startsWith("--")) {
      if (!commands.includes(word)) throw unexpected(word, commands);
      command = word;
      continue;
    }
    const [name, inline] = splitOnce(word.slice(2), "=");
    const key = name.replaceAll("-", "_");
    if (key !== "config" && !Object.hasOwn(settings, key)) throw unknownFlag(key);
    const isSwitch = key !== "config" && settings[key as SettingName].kind === "boolean";
    // A switch is on by its name alone; what follows it is its value where it can be nothing else.
    const isNext = !isSwitch || argv[position + 1] === "true" || argv[position + 1] === "false";
    const value = inline ?? (isNext ? argv[(position += 1)] : "true");
    if (value === undefined) throw new ConfigError(`--${name} needs a value`);
    if (key === "config") file = value;
    else flags[key] = value;
  }
  return { flags, command, file };
}

function unexpected(word: string, commands: readonly string[]): ConfigError {
  if (commands.length === 1) return new ConfigError(`unexpected "${word}": a setting is given as --name value`);
  return new ConfigError(`unknown command "${word}": there are ${commands.join(", ")}`);
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
