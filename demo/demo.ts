import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { detectIsolation } from "../runner/src/executors/isolation.ts";
import { isPassable } from "../runner/src/executors/job-directory.ts";
import { createClients } from "./clients.ts";
import { registerRunner, type FleetRunner } from "./fleet.ts";
import { reorderQueue, rerunFailed, runPipeline } from "./pipelines.ts";
import { startNetwork, wantsOpenZiti } from "./network.ts";
import { startControlPlane, type Program } from "./processes.ts";
import { serveRepository } from "./repository.ts";
import { checkRepository, demandTheImpossible, killRunner, members, organization, showEnrollment } from "./story.ts";
import { createTerminal, wantsColours } from "./terminal.ts";
import { fillToolbox } from "./toolbox.ts";

const root = join(import.meta.dirname, "..");
const runnerEnd_ms = 15_000;
const serverEnd_ms = 20_000;

const { stdout } = process;
const terminal = createTerminal(
  (text) => stdout.write(text),
  wantsColours(stdout, process.env),
  stdout.columns || undefined,
);

process.exit(await main());

/** Tells the story; the exit code is 0 only where every step was verified. Whatever was started is ended, whatever was made removed. */
async function main(): Promise<number> {
  const start_ms = performance.now();
  const interrupted = Promise.withResolvers<never>();
  let code = 1;
  const interrupt = (signal: NodeJS.Signals) => {
    code = signal === "SIGINT" ? 130 : 143;
    interrupted.reject(new Error(`interrupted by ${signal}`));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  process.stdout.on("error", (error) => interrupted.reject(error));
  const closing = new AsyncDisposableStack();
  try {
    const telling = tell(closing);
    telling.catch(() => undefined);
    await Promise.race([telling, interrupted.promise]);
    code = 0;
  } catch (error) {
    process.stderr.write(`\nagyn demo: ${error instanceof Error ? error.message : String(error)}\n`);
  }
  await closing.disposeAsync();
  if (code === 0) {
    terminal.blank();
    const seconds = ((performance.now() - start_ms) / 1000).toFixed(1);
    terminal.verdict("held", `every step was verified, in ${seconds} s; nothing was left behind`);
  }
  return code;
}

async function tell(closing: AsyncDisposableStack): Promise<void> {
  // What is made is to be read by the users that jobs run as, whatever the mask is here.
  process.umask(0o022);
  const directory = makeDirectory();
  closing.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  mkdirSync(join(directory, "secrets"), { mode: 0o700 });
  const isolation = await detectIsolation();
  const repository = await serveRepository(root, join(directory, "secrets"));
  closing.defer(() => repository.close());

  terminal.title("agyn: a runner enrolls, gets work, streams it back; a pipeline runs, fails and is run again");
  const network = wantsOpenZiti(process.argv.slice(2)) ? await startNetwork(join(directory, "secrets")) : undefined;
  closing.defer(async () => network?.close());
  terminal.step("The control plane");
  const started_ms = performance.now();
  const programs: Program[] = [];
  closing.defer(async () => {
    for (const program of programs) await program.end("SIGTERM", serverEnd_ms);
  });
  const flags = network?.flags ?? [];
  const controlPlane = await startControlPlane(directory, flags, (program) => programs.push(program));
  terminal.fact(
    "started",
    `with a PostgreSQL of its own, in ${((performance.now() - started_ms) / 1000).toFixed(1)} s`,
  );
  terminal.fact("user port", controlPlane.gateway);
  terminal.fact("runner plane", controlPlane.runnerPlane);
  if (network) terminal.fact("network", network.description);
  const clients = createClients(controlPlane.gateway, controlPlane.token);
  await clients.organizations.createOrganization({ name: organization });

  terminal.step("Three runners enroll");
  const fleet: FleetRunner[] = [];
  closing.defer(() => endRunners(fleet));
  const deps = { clients, controlPlane, directory, organization, isUnisolated: isolation === "none" };
  for (const member of members) fleet.push(await registerRunner(deps, member));
  const toolbox = join(directory, "toolbox");
  const starting = Promise.all(fleet.map((runner) => runner.start()));
  starting.catch(() => undefined);
  fillToolbox(join(root, "node_modules"), toolbox);
  const runners = await starting;
  showEnrollment(terminal, runners);
  if (isolation === "none") terminal.note("this machine cannot keep jobs from each other: shared-1 serves it unsafely");

  const stage = { terminal, clients, fleet };
  await checkRepository(stage, repository, toolbox);
  await demandTheImpossible(stage);
  await killRunner(stage);
  await rerunFailed(stage, await runPipeline(stage, repository, directory));
  await reorderQueue(stage);
}

/** A directory that jobs of other users can pass through, and none but this user can look into. */
function makeDirectory(): string {
  const parent = [tmpdir(), "/var/tmp"].find((path) => isPassable(path)) ?? tmpdir();
  const directory = mkdtempSync(join(parent, "agyn-demo-"));
  chmodSync(directory, 0o711);
  return directory;
}

/** Ends the runners with what runs there; one that was killed is started once more for that, or its job would outlive it. */
async function endRunners(fleet: readonly FleetRunner[]): Promise<void> {
  await Promise.all(
    fleet.map(async (runner) => {
      if (!runner.hasStarted()) return;
      if (!runner.program.isRunning()) await runner.start();
      await runner.program.end("SIGTERM", runnerEnd_ms);
    }),
  ).catch((error: unknown) => process.stderr.write(`agyn demo: ${(error as Error).message}\n`));
}
