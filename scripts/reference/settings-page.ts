import { settings } from "../../server/src/settings.ts";
import { heading, table } from "./markdown.ts";

/** Every setting of the server. */
function settingsTable(): string {
  const rows = Object.entries(settings).map(([name, setting]) => {
    const { kind, default: value, help } = setting;
    const flag = `\`--${name.replaceAll("_", "-")}\``;
    const alias = name === "database_url" ? ", `DATABASE_URL`" : "";
    return [
      `\`${name}\``,
      flag,
      `\`AGYN_${name.toUpperCase()}\`${alias}`,
      "range" in setting ? `${kind}, ${setting.range.join(" to ")}` : kind,
      value === undefined || value === "" ? "" : `\`${value}\``,
      help,
    ];
  });
  return table(["in `agyn.toml`", "flag", "environment", "kind", "default", "what it sets"], rows);
}

/** The settings as a page of the reference. */
export function settingsPage(): string {
  return `${heading("Settings of agyn-server", "`server/src/settings.ts`")}
Flags come before the environment, the environment before the file, the file before the defaults. Durations are a whole number and
one of \`ms\`, \`s\`, \`m\`, \`h\`, \`d\`; addresses are \`host:port\`, an IPv6 host in brackets. [Configuration](../guide/configuration.md)
says how to write them.

${settingsTable()}
`;
}
