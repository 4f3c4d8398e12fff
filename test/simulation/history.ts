import { isTerminal } from "../../server/src/domain/workload.ts";
import { hasRunEnded } from "../../server/src/domain/run-state.ts";
import { insertOrganization, type Organization } from "../../server/src/store/organizations.ts";
import { insertProject } from "../../server/src/store/projects.ts";
import { updateQueueLimits } from "../../server/src/store/queue-settings.ts";
import { createActs, startReplica, type Act, type Acts } from "./acts.ts";
import { createRunActs } from "./run-acts.ts";
import { createRunner, type Runner } from "./runner.ts";
import { openSimulation } from "./simulation.ts";
import type { Simulation } from "./world.ts";

/** How a history went: what it did, and how much of it. */
export type Outcome = {
  faults: readonly string[];
  notes: readonly string[];
  workloads: number;
  jobs: number;
  statements: number;
};

const unrest_ms = 45_000;
/** After the unrest everything must have ended within this. */
const drain_ms = 120_000;
const mendPeriod_ms = 3_000;

/** Lives through the history of a seed, and answers the first faults; `withRuns`: where people run pipelines, too. */
export async function liveThrough(seed: number, withRuns = false): Promise<Outcome> {
  await using simulation = await openSimulation(seed, 3, withRuns);
  const { pool, replicas, invariants, runInvariants, notes } = simulation;
  const organization = await simulation.execute(() => insertOrganization(pool, "acme", null, "org_aaaaaaaaaaaaaaaa"));
  const runners = [
    await createRunner(simulation, {
      id: "rnr_aaaaaaaaaaaaaaaa",
      organizationId: "org_aaaaaaaaaaaaaaaa",
      slots: 2,
      capabilities: [],
    }),
    await createRunner(simulation, {
      id: "rnr_bbbbbbbbbbbbbbbb",
      organizationId: "org_aaaaaaaaaaaaaaaa",
      slots: 3,
      capabilities: ["gpu"],
    }),
    await createRunner(simulation, {
      id: "rnr_cccccccccccccccc",
      organizationId: null,
      slots: 2,
      capabilities: ["gpu"],
    }),
  ];
  const acts = await createAllActs(simulation, runners, organization, withRuns);
  for (const replica of replicas) void startReplica(simulation, replica);
  for (const runner of runners) runner.start();
  const faults = (await disturb(simulation, acts.all)) ?? (await drain(simulation, acts, runners)) ?? [];
  const { workloads } = invariants;
  return { faults, notes, workloads: workloads.size, jobs: runInvariants.jobs.size, statements: simulation.statements };
}

async function createAllActs(
  simulation: Simulation,
  runners: readonly Runner[],
  organization: Organization,
  withRuns: boolean,
): Promise<Acts> {
  const acts = createActs(simulation, runners, organization);
  if (!withRuns) return acts;
  const { pool } = simulation;
  const project = await simulation.execute(async () => {
    await updateQueueLimits(pool, organization.id, { maximumRunning: 5, maximumQueued: null });
    const settings = { name: "web", sourceUrl: "", defaultRef: "", weight: 1, maximumRunningJobs: 3, retentionDays: 0 };
    return insertProject(pool, { id: "prj_aaaaaaaaaaaaaaaa", organizationId: organization.id, ...settings });
  });
  const runActs = createRunActs(simulation, { organization, project });
  return {
    all: [...acts.all, ...runActs.all],
    mend() {
      acts.mend();
      runActs.mend();
    },
  };
}

/** Answers faults as soon as there are any. */
async function disturb(simulation: Simulation, acts: readonly Act[]): Promise<readonly string[] | undefined> {
  const { chaos } = simulation;
  const end = Date.now() + unrest_ms;
  const actNext = () => {
    if (Date.now() >= end) return;
    const act = draw(acts, chaos.below);
    simulation.note(act.name);
    const done = (async () => act.run())();
    done.catch((error: unknown) => simulation.note(`${act.name}: ${String(error)}`));
    setTimeout(actNext, 20 + chaos.below(400));
  };
  setTimeout(actNext, 3000);
  while (Date.now() < end) {
    const faults = await simulation.step();
    if (faults.length > 0) return faults;
  }
  return undefined;
}

async function drain(
  simulation: Simulation,
  acts: Acts,
  runners: readonly Runner[],
): Promise<readonly string[] | undefined> {
  const { chaos, invariants, runInvariants } = simulation;
  simulation.note("everything is mended");
  chaos.calm();
  const end = Date.now() + drain_ms;
  const mend = () => {
    acts.mend();
    setTimeout(mend, mendPeriod_ms);
  };
  mend();
  const live = () => [...invariants.workloads.values()].filter((row) => !isTerminal(row.phase));
  const liveRuns = () => [...runInvariants.runs.values()].filter((run) => !hasRunEnded(run.state));
  while (live().length + liveRuns().length > 0 || !runners.every((one) => one.isIdle)) {
    const faults = await simulation.step();
    if (faults.length > 0) return faults;
    if (Date.now() < end) continue;
    const left = live().map((row) => `${row.id} is ${row.phase} on ${row.runnerId} at the end: ${row.message}`);
    const stuck = liveRuns().map((run) => `${run.id} is ${run.state} at the end: ${run.message}`);
    return [
      ...left,
      ...stuck,
      ...runners.filter((one) => !one.isIdle).map((one) => `${one.id} is not idle at the end`),
    ];
  }
  return undefined;
}

function draw(acts: readonly Act[], below: (bound: number) => number): Act {
  let at = below(acts.reduce((sum, one) => sum + one.weight, 0));
  return acts.find((one) => (at -= one.weight) < 0)!;
}
