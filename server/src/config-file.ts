import { readFileSync } from "node:fs";
import { parse as parseToml } from "smol-toml";
import { ConfigError } from "./setting-values.ts";

/** The settings in a file, as texts. */
export function readConfigFile(file: string): Record<string, string> {
  let parsed: Record<string, unknown>;
  try {
    parsed = parseToml(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message.split("\n")[0]}`);
  }
  return Object.fromEntries(
    Object.entries(parsed).map(([name, value]) => {
      if (typeof value === "string") return [name, value];
      if (typeof value === "boolean" || typeof value === "number") return [name, String(value)];
      throw new ConfigError(`${file}: "${name}" must be a text, a number or true or false`);
    }),
  );
}
