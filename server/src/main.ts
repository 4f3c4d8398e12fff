import { existsSync } from "node:fs";
import { Command, CommanderError } from "commander";
import pino, { type Logger } from "pino";
import { ConfigError, settings, settle, toConfig, type Config, type SettingName, type Settled } from "./config.ts";
import { openServer } from "./server.ts";
import { version } from "./version.ts";

const program = new Command("agyn-server")
  .description("The control plane of agyn: enrolls runners, places workloads, keeps logs.")
  .version(version)
  .option("--config <file>", "settings file", existsSync("agyn.toml") ? "agyn.toml" : undefined)
  .allowUnknownOption()
  .allowExcessArguments()
  .helpOption("-h, --help");
for (const [name, { help, default: value }] of Object.entries(settings)) {
  program.option(`--${name.replaceAll("_", "-")} <value>`, value === undefined ? help : `${help} (default: ${value})`);
}
program
  .command("config")
  .description("print the settings in force and where each comes from, secrets hidden")
  .action(() => undefined);
program.addHelpText(
  "after",
  "\nEach setting is also read from AGYN_<NAME> in the environment and from <name> in agyn.toml.\n",
);

await main(process.argv.slice(2));

async function main(argv: string[]): Promise<void> {
  try {
    const { flags, command, file } = readArguments(argv);
    const settled = settle(flags, process.env, file);
    const config = toConfig(settled);
    if (command === "config") process.stdout.write(describe(settled));
    else await serve(config);
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode);
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`agyn-server: ${error.message}\n`);
    process.exit(2);
  }
}

/** Flags are taken apart here, not by the library, so that an unknown one is answered with the nearest setting. */
function readArguments(argv: string[]): { flags: Record<string, string>; command: string; file: string | undefined } {
  if (argv.includes("-h") || argv.includes("--help")) program.help();
  if (argv.includes("-V") || argv.includes("--version")) {
    process.stdout.write(`${version}\n`);
    process.exit(0);
  }
  const flags: Record<string, string> = {};
  let command = "serve";
  let file = existsSync("agyn.toml") ? "agyn.toml" : undefined;
  for (let position = 0; position < argv.length; position += 1) {
    const word = argv[position]!;
    if (!word.startsWith("--")) {
      if (word !== "config" && word !== "serve")
        throw new ConfigError(`unknown command "${word}": there are serve and config`);
      command = word;
      continue;
    }
    const [name, inline] = splitOnce(word.slice(2), "=");
    const key = name.replaceAll("-", "_");
    const isSwitch = key in settings && settings[key as SettingName].kind === "boolean";
    const value = inline ?? (isSwitch ? "true" : argv[(position += 1)]);
    if (value === undefined) throw new ConfigError(`--${name} needs a value`);
    if (key === "config") file = value;
    else flags[key] = value;
  }
  return { flags, command, file };
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function describe(settled: Settled): string {
  const lines = Object.entries(settled).map(([name, { value, source }]) => {
    const hidden = settings[name as SettingName].kind === "secret" && value !== undefined;
    return `${name} = ${value === undefined ? "(not set)" : JSON.stringify(hidden ? "(hidden)" : value)}  # ${source}`;
  });
  return `${lines.join("\n")}\n`;
}

async function serve(config: Config): Promise<void> {
  const log: Logger = pino(
    { level: config.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  );
  const server = await openServer(config, log).catch((error: unknown) => {
    const { code, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
    if (code === "EADDRINUSE")
      throw new ConfigError(
        `listen: ${address}:${port} is in use: stop what listens there, or choose another port with --listen or --runner-listen`,
      );
    if (code === "EACCES")
      throw new ConfigError(`listen: ${address}:${port} needs rights that this user lacks: choose a port above 1023`);
    throw error;
  });
  log.info(
    {
      gateway: server.gateway,
      runner_plane: `${server.runnerAddress.host}:${server.runnerAddress.port}`,
      data_dir: config.dataDir,
    },
    "server ready",
  );
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(130);
    stopping = true;
    log.info({ signal }, "server stopping");
    void server.close().then(() => process.exit(0));
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
}
