import { existsSync } from "node:fs";
import { Command, CommanderError } from "commander";
import pino, { type Logger } from "pino";
import { readArguments } from "./arguments.ts";
import { ConfigError, settle, toConfig, type Config, type Settled } from "./config.ts";
import { settings, type SettingName } from "./settings.ts";
import { flagOf } from "./setting-values.ts";
import { openServer } from "./server.ts";
import { rotate } from "./rotate.ts";
import { explainStartFailure } from "./start-failure.ts";
import { version } from "./version.ts";

/** For a program that starts a server and must not leave it behind, however it ends itself. */
const parentPipe = "--parent-pipe";

const program = new Command("agyn-server")
  .description("The control plane of agyn: enrolls runners, places workloads, keeps logs.")
  .version(version)
  .option("--config <file>", "settings file", existsSync("agyn.toml") ? "agyn.toml" : undefined)
  .allowUnknownOption()
  .allowExcessArguments()
  .helpOption("-h, --help");
for (const [name, { help, kind, default: value }] of Object.entries(settings)) {
  const usual = value === undefined || value === "" ? "" : ` (default: ${value})`;
  program.option(`${flagOf(name)} ${kind === "boolean" ? "[true|false]" : "<value>"}`, help + usual);
}
program.option(parentPipe, "end when standard input ends");
program
  .command("config")
  .description("print the settings in force and where each comes from, secrets hidden")
  .action(() => undefined);
program
  .command("rotate-master-key")
  .description("while no server runs: make another master key, and seal everything under it")
  .action(() => undefined);
program.addHelpText(
  "after",
  "\nEach setting is also read from AGYN_<NAME> in the environment and from <name> in agyn.toml.\n",
);

await main(process.argv.slice(2));

async function main(argv: string[]): Promise<void> {
  try {
    if (argv.includes("-h") || argv.includes("--help")) program.help();
    if (argv.includes("-V") || argv.includes("--version")) {
      process.stdout.write(`${version}\n`);
      process.exit(0);
    }
    const hasParentPipe = argv.includes(parentPipe);
    const rest = argv.filter((word) => word !== parentPipe);
    const { flags, command, file } = readArguments(rest, ["serve", "config", "rotate-master-key"]);
    const settled = settle(flags, process.env, file);
    const config = toConfig(settled);
    if (command === "config") process.stdout.write(describe(settled));
    else if (command === "rotate-master-key") process.stdout.write(`${await rotateOrExplain(config)}\n`);
    else await serve(config, hasParentPipe);
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode);
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`agyn-server: ${error.message}\n`);
    process.exit(2);
  }
}

function describe(settled: Settled): string {
  const lines = Object.entries(settled).map(([name, { value, source }]) => {
    const hidden = settings[name as SettingName].kind === "secret" && value !== undefined;
    return `${name} = ${value === undefined ? "(not set)" : JSON.stringify(hidden ? "(hidden)" : value)}  # ${source}`;
  });
  return `${lines.join("\n")}\n`;
}

function rotateOrExplain(config: Config): Promise<string> {
  return rotate(config).catch((error: unknown) => {
    throw explainStartFailure(error, config);
  });
}

async function serve(config: Config, hasParentPipe: boolean): Promise<void> {
  const log: Logger = pino(
    { level: config.logLevel, base: null, messageKey: "message", timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  );
  const server = await openServer(config, log).catch((error: unknown) => {
    throw explainStartFailure(error, config);
  });
  log.info(
    {
      gateway: server.gateway,
      runner_plane: server.runnerEndpoints.join(", "),
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
  if (hasParentPipe) process.stdin.resume().once("close", () => stopping || stop("SIGHUP"));
}
