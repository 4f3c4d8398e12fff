import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  StartWorkloadRequestSchema,
  StopWorkloadRequestSchema,
} from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import type { UserCaller } from "../../server/src/domain/access.ts";
import { isTerminal } from "../../server/src/domain/workload.ts";
import type { Organization } from "../../server/src/store/organizations.ts";
import { getRunner } from "../../server/src/store/runners.ts";
import { contextOf, methods } from "./open-replica.ts";
import type { Replica } from "./replica.ts";
import type { Runner } from "./runner.ts";
import type { Simulation } from "./world.ts";

/** Something that people or misfortune do; the higher the weight, the more often. */
export type Act = { weight: number; name: string; run: () => void | Promise<void> };

export interface Acts {
  readonly all: readonly Act[];
  /** Starts what is down, and lets runners have work again. */
  mend(): void;
}

/** By then another replica leads. */
const longerThanLease_ms = 3500;
/** Live workloads beyond which no more are started: in some histories everything finds a runner at once, in others most waits. */
const [leastLive, mostLive] = [4, 14];

export function createActs(simulation: Simulation, runners: readonly Runner[], organization: Organization): Acts {
  const { chaos, invariants, replicas, pool } = simulation;
  const liveLimit = leastLive + chaos.below(mostLive - leastLive + 1);
  const caller: UserCaller = {
    kind: "user",
    userId: "usr_simulation",
    userName: "simulation",
    clusterAdmin: true,
    tokenId: "",
    scopes: [],
    memberships: [],
  };
  const live = () => [...invariants.workloads.values()].filter((row) => !isTerminal(row.phase));
  const replica = () => chaos.pick(replicas);
  const runner = () => chaos.pick(runners);

  const startWorkload = async (at = chaos.pickReplica()) => {
    const services = at?.services;
    if (!services || live().length >= liveLimit) return;
    const simulated = { duration: durationFromMs(100 + chaos.below(12_000)), exitCode: chaos.hits(25) ? 1 : 0 };
    const request = create(StartWorkloadRequestSchema, {
      spec: { command: { case: "simulation", value: simulated }, grace: durationFromMs(chaos.below(3000)) },
      demand: {
        executor: "simulated",
        resources: { slots: 1 + chaos.below(2) },
        capabilities: chaos.hits(25) ? ["gpu"] : [],
      },
      retry: { maximumTries: 1 + chaos.below(4), onLost: chaos.hits(70), onFailed: chaos.hits(40) },
      loss: { kind: { case: "after", value: durationFromMs(4000 + chaos.below(8000)) } },
      ...(chaos.hits(10) && { pendingTimeout: durationFromMs(5000) }),
    });
    const target = { kind: "organization", organization } as const;
    const { workload } = await services.orchestrator.startWorkload(
      request,
      contextOf(methods.startWorkload, { caller, target }),
    );
    invariants.noteStarted(workload!.id!);
  };

  const stopWorkload = async (force: boolean) => {
    const services = chaos.pickReplica()?.services;
    const rows = live();
    if (!services || rows.length === 0) return;
    const workload = chaos.pick(rows);
    const request = create(StopWorkloadRequestSchema, {
      workload: workload.id,
      force,
      ...(chaos.hits(30) && { grace: durationFromMs(0) }),
    });
    const target = { kind: "workload", workload } as const;
    await services.orchestrator.stopWorkload(request, contextOf(methods.stopWorkload, { caller, target }));
  };

  const setAvailability = async (to: "pause" | "resume" | "drain", id: string) => {
    const services = chaos.pickReplica()?.services;
    const row = await simulation.execute(() => getRunner(pool, id));
    // Each of these raises the fleet version, which would hide what the leader's epoch alone has to refuse.
    if (!services || !row || row.availability === { pause: "paused", resume: "active", drain: "draining" }[to]) return;
    const method = ({ pause: "pauseRunner", resume: "resumeRunner", drain: "drainRunner" } as const)[to];
    const target = { kind: "runner", runner: row, organizationId: organization.id } as const;
    await services.runners[method](
      create(methods[method].input, { runner: id }) as never,
      contextOf(methods[method], { caller, target }),
    );
  };

  const restart = (one: Replica) => {
    setTimeout(() => void startReplica(simulation, one), chaos.below(6000));
  };
  const startAgain = (one: Runner) => {
    setTimeout(() => one.start(), chaos.below(8000));
  };
  const spell_ms = () => chaos.below(chaos.hits(30) ? 20_000 : 4000);

  const all: Act[] = [
    { weight: 40, name: "start a workload", run: () => startWorkload() },
    { weight: 5, name: "stop a workload", run: () => stopWorkload(false) },
    { weight: 3, name: "give a workload up", run: () => stopWorkload(true) },
    { weight: 2, name: "pause", run: () => setAvailability("pause", runner().id) },
    { weight: 2, name: "drain", run: () => setAvailability("drain", runner().id) },
    ...runners.map(({ id }) => ({ weight: 3, name: `resume ${id}`, run: () => setAvailability("resume", id) })),
    {
      weight: 3,
      name: "crash a replica",
      run: () => {
        const one = replica();
        one.crash();
        restart(one);
      },
    },
    {
      weight: 2,
      name: "stop a replica",
      run: async () => {
        const one = replica();
        await one.stop();
        restart(one);
      },
    },
    { weight: 3, name: "stall a replica", run: () => replica().stall(spell_ms()) },
    {
      weight: 2,
      name: "stall the leader while it places",
      run: async () => {
        const leader = replicas.find((one) => one.leads);
        leader?.stall(longerThanLease_ms + chaos.below(3000));
        await Promise.all([startWorkload(leader), startWorkload(leader)]);
      },
    },
    {
      weight: 3,
      name: "crash a runner",
      run: () => {
        const one = runner();
        one.crash();
        startAgain(one);
      },
    },
    {
      weight: 2,
      name: "reboot a runner",
      run: () => {
        const one = runner();
        one.reboot(chaos.hits(60));
        startAgain(one);
      },
    },
    { weight: 2, name: "freeze a runner", run: () => runner().freeze(spell_ms()) },
    { weight: 4, name: "cut a runner off", run: () => runner().cutOff(spell_ms()) },
    { weight: 4, name: "lose a link", run: () => runner().loseLink() },
    { weight: 3, name: "dial once more", run: () => runner().renew() },
    // One that was drained, or told to go, is started again by its machine.
    { weight: 6, name: "start what is down", run: () => runners.forEach((one) => one.start()) },
  ];
  return {
    all,
    mend() {
      for (const one of replicas) void startReplica(simulation, one);
      for (const one of runners) {
        one.start();
        setAvailability("resume", one.id).catch((error: unknown) => simulation.note(`not resumed: ${String(error)}`));
      }
    },
  };
}

/** Starts a replica; where the database fails it meanwhile, it is started anew. */
export async function startReplica(simulation: Simulation, replica: Replica): Promise<void> {
  if (replica.isUp) return;
  await replica.start().catch((error: unknown) => {
    simulation.note(`${replica.id} did not start: ${String(error)}`);
    replica.crash();
    setTimeout(() => void startReplica(simulation, replica), 500);
  });
}
