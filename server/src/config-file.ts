import { readFileSync } from "node:fs";
import { parse as parseToml, TomlError } from "smol-toml";
import { ConfigError, unknown } from "./setting-values.ts";
import { settings } from "./settings.ts";

/** The settings in a file, as texts. Throws a ConfigError that names the line, or the key and the nearest valid one. */
export function readConfigFile(file: string): Record<string, string> {
  let parsed: Record<string, unknown>;
  try {
    parsed = parseToml(readFileSync(file, "utf8"));
  } catch (error) {
    const line = error instanceof TomlError ? `, line ${error.line}` : "";
    throw new ConfigError(`${file}${line}: ${(error as Error).message.split("\n")[0]}`);
  }
  return Object.fromEntries(
    Object.entries(parsed).map(([name, value]) => {
      if (!Object.hasOwn(settings, name)) throw unknown(`${file}: unknown key "${name}"`, name, Object.keys(settings));
      if (typeof value === "string") return [name, value];
      if (typeof value === "boolean" || typeof value === "number") return [name, String(value)];
      throw new ConfigError(`${file}: "${name}" must be a text, a number or true or false`);
    }),
  );
}
