import { loadOpenZitiSdk, type OpenZitiSdk } from "../../overlay/openziti-sdk.ts";
import { parseConfig } from "./config.ts";
import { exitCodes, FatalError } from "./fatal-error.ts";
import { closeInheritedDescriptors } from "./inherited-descriptors.ts";
import { createLogger } from "./logging.ts";
import { messageOf } from "./refusal.ts";
import { startRunner, type Runner } from "./runner.ts";
import { takeEnvironment } from "./secret-environment.ts";
import packageFile from "../../package.json" with { type: "json" };

const { version } = packageFile;

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`agyn-runner: ${messageOf(error)}\n`);
  process.exitCode = error instanceof FatalError ? exitCodes[error.reason] : 1;
}
process.exit();

async function main(argv: readonly string[]): Promise<number> {
  closeInheritedDescriptors();
  const config = parseConfig(argv, { environment: takeEnvironment(), version });
  if (config === undefined) return 0;

  const log = createLogger(config.logLevel);
  const openZitiSdk = config.zitiSdk === undefined ? undefined : await loadSdk(config.zitiSdk);
  const runner = await startRunner({ ...config, openZitiSdk, version, log });
  stopOnSignals(runner, config.drainTimeoutMs);
  if (config.hasParentPipe) process.stdin.resume().once("close", () => runner.abandon());
  await runner.done;
  log.info("runner left");
  return 0;
}

async function loadSdk(module: string): Promise<OpenZitiSdk> {
  try {
    return await loadOpenZitiSdk(module);
  } catch (error) {
    throw new FatalError("usage", `--ziti-sdk: ${messageOf(error)}`);
  }
}

/** The first signal stops the runner in good order; the second ends it at once and leaves its workloads to the next start. */
function stopOnSignals(runner: Runner, drainTimeoutMs: number): void {
  let isStopping = false;
  const onSignal = (): void => {
    if (isStopping) runner.abandon();
    else runner.stop(drainTimeoutMs);
    isStopping = true;
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
}
