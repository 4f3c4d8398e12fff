// A control plane and a runner of this machine, until Ctrl-C: `npm start`, and `npm start -- --listen …` with the settings of agyn-server.

import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pino from "pino";
import { readArguments } from "../server/src/arguments.ts";
import { ConfigError, settle, toConfig, type Config } from "../server/src/config.ts";
import { settings, type SettingName } from "../server/src/settings.ts";
import { flagOf } from "../server/src/setting-values.ts";
import { reachableHost } from "../server/src/gateway.ts";
import { openServer, type Server } from "../server/src/server.ts";
import { addressText, explainStartFailure } from "../server/src/start-failure.ts";
import { startLocalRunner, type LocalRunner } from "./start/local-runner.ts";

const root = join(import.meta.dirname, "..");
const connectTimeout_ms = 20_000;
/** Where it must be quick, for so long everything may take to be closed. */
const hurry_ms = 2_000;
/** npm passes on the Ctrl-C that its terminal sends to all: the second of such a pair is the same. */
const samePress_ms = 200;
const orphanCheck_ms = 250;
/** npm takes for itself what does not follow a `--`, and says nothing of it. */
const flagsFollow = "agyn: flags follow a --, as in: npm start -- --listen 127.0.0.1:7080\n";

await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on("error", () => undefined);
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(help());
    return;
  }
  try {
    const { flags, file } = readArguments(argv, ["serve"]);
    const settled = settle(flags, process.env, file);
    // What is worth knowing is said here; the log is for what goes wrong, unless more is asked for.
    if (settled.log_level.source === "default") settled.log_level = { value: "warn", source: "default" };
    await serve(toConfig(settled));
  } catch (error) {
    const isMendable = error instanceof ConfigError;
    const text = isMendable || !(error instanceof Error) ? String((error as Error).message) : error.stack;
    process.stderr.write(`agyn: ${text}\n`);
    if (isMendable && /(^|[\s"])--\w/.test(error.message)) process.stderr.write(flagsFollow);
    process.exit(isMendable ? 2 : 1);
  }
}

async function serve(config: Config): Promise<void> {
  const open: Opened = {};
  const say = (text: string) => process.stdout.write(`${text}\n`);
  stopOnSignals(open, say);
  dieWithNpm();
  const log = pino(
    { level: config.logLevel, base: null, messageKey: "message", timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  );
  say("agyn: starting ...");
  open.server = openServer(config, log);
  const server = await open.server.catch((error: unknown) => {
    throw explainStartFailure(error, config);
  });
  try {
    open.runner = startLocalRunner({
      gateway: server.gateway,
      dataDir: config.dataDir,
      adminToken: readAdminToken(config.dataDir),
      certificate: config.tls?.cert,
      runnerPlane: addressText({ host: reachableHost(server.runnerAddress.host), port: server.runnerAddress.port }),
      hidden: [config.dataDir, config.blobDir, config.masterKeyFile, ...(config.tls ? [config.tls.key] : [])],
      logLevel: config.logLevel === "silent" ? "error" : config.logLevel,
      say,
    });
    const isConnected = await (await open.runner).untilConnected(connectTimeout_ms);
    say(welcome(config, server, isConnected));
  } catch (error) {
    await leave(open);
    throw error;
  }
}

/** What there is to be closed, from the moment it is begun. */
type Opened = { server?: Promise<Server>; runner?: Promise<LocalRunner> };

function welcome(config: Config, server: Server, isConnected: boolean): string {
  const runnerPlane = addressText(server.runnerAddress);
  const told = config.runnerAddress === undefined ? "" : ` (runners dial ${addressText(config.runnerAddress)})`;
  const command = commandPrefix(config);
  return [
    "",
    "agyn is running",
    `  user port     ${server.gateway}`,
    `  runner plane  ${runnerPlane}${told}`,
    `  data          ${config.dataDir}`,
    `  runner        local, of organization default${isConnected ? "" : " (not connected yet)"}`,
    "",
    "try next, in another terminal:",
    `  ${command} runners list`,
    `  ${command} workloads start --follow -- echo "hello from a runner"`,
    `  ${command} workloads list`,
    "",
    "Ctrl-C stops it; what runs then has 10 s to end",
  ].join("\n");
}

/** `./agynctl`, with what it needs to find this control plane where it would not by itself. */
function commandPrefix(config: Config): string {
  const program = `./${relative(process.cwd(), join(root, "agynctl"))}`;
  const isFound = config.dataDir === join(process.cwd(), ".agyn");
  const words = [...(isFound ? [] : [`AGYN_DATA_DIR=${quote(config.dataDir)}`]), quote(program)];
  return words.join(" ");
}

function quote(word: string): string {
  return /^[\w./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function readAdminToken(dataDir: string): string | undefined {
  try {
    return readFileSync(join(dataDir, "admin-token"), "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The first signal lets the workloads end; the second leaves at once what is there to the next start; a third does not wait at all. */
function stopOnSignals(open: Opened, say: (text: string) => void): void {
  let presses = 0;
  let last_ms = -samePress_ms;
  const onSignal = (signal: NodeJS.Signals) => {
    const now_ms = performance.now();
    if (now_ms - last_ms < samePress_ms) return;
    last_ms = now_ms;
    presses += 1;
    const code = signal === "SIGINT" ? 130 : 143;
    if (presses > 2) process.exit(code);
    if (presses === 1) {
      say("\nagyn: stopping: nothing new is taken, what runs has 10 s to end; Ctrl-C again leaves at once");
      void leave(open).then(() => {
        say("agyn: stopped");
        process.exit(0);
      });
      return;
    }
    say("agyn: leaving; the next start takes up what still runs");
    void Promise.race([leave(open), delay(hurry_ms)]).then(() => process.exit(code));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
}

/** Also of what is only being opened. */
async function leave({ server, runner }: Opened): Promise<void> {
  await (await runner?.catch(() => undefined))?.stop();
  await (await server?.catch(() => undefined))?.close();
}

/** npm that is killed leaves this process behind, which then holds ports that nobody knows of: it goes the same way. */
function dieWithNpm(): void {
  if (process.env["npm_lifecycle_event"] !== "start") return;
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.kill(process.pid, "SIGKILL"), orphanCheck_ms).unref();
}

function help(): string {
  const lines = (Object.keys(settings) as SettingName[]).map((name) => {
    const { help: text, default: value } = settings[name];
    const usual = value === undefined || value === "" ? "" : ` (default: ${value})`;
    return `  ${flagOf(name).padEnd(24)} ${text}${usual}`;
  });
  return `npm start -- [flags]: a control plane and a runner of this machine, until Ctrl-C\n\n${lines.join("\n")}\n`;
}
