import { insertGeneration, insertIdentity } from "../../server/src/store/identities.ts";
import { bindIdentity, insertRunner } from "../../server/src/store/runners.ts";
import type { RunnerCaller } from "../../server/src/sessions/open-session.ts";
import { createMachine } from "./machine.ts";
import { startRunnerProcess, type RunnerProcess } from "./runner-model.ts";
import type { Simulation } from "./world.ts";

/** A runner through its crashes, restarts, freezes and partitions. */
export interface Runner {
  readonly id: string;
  readonly isUp: boolean;
  /** Whether it is connected and holds nothing. */
  readonly isIdle: boolean;
  start(): void;
  /** Its process ends; its jobs go on. */
  crash(): void;
  /** The machine goes down, and with it every job; `keepsDisk` says whether it remembers what it held. */
  reboot(keepsDisk: boolean): void;
  freeze(time_ms: number): void;
  cutOff(time_ms: number): void;
  loseLink(): void;
  renew(): void;
}

export type RunnerSpec = { id: string; organizationId: string | null; slots: number; capabilities: string[] };

const forever = new Date(Date.UTC(2100, 0, 1));

/** Registers a runner with an identity, as an enrollment would. */
export async function createRunner(simulation: Simulation, spec: RunnerSpec): Promise<Runner> {
  const { pool } = simulation;
  const { id, organizationId, slots, capabilities } = spec;
  const caller: RunnerCaller = { kind: "runner", runnerId: id, spkiSha256: `spki-${id}`, expireTime: forever };
  await simulation.execute(async () => {
    const token = { publicKey: new Uint8Array(32), maximumUses: 0, lifetime_ms: null, sourceCidrs: [] };
    await insertRunner(pool, { id, organizationId, name: id, labels: {}, capabilities, token });
    const identityId = await insertIdentity(pool, id, caller.spkiSha256);
    const times = { issueTime: new Date(), expireTime: forever };
    const { spkiSha256 } = caller;
    await insertGeneration(pool, { identityId, generation: 1n, spkiSha256, serial: id, chainPem: "", ...times });
    await bindIdentity(pool, id, identityId);
  });
  const machine = createMachine(simulation, id);
  let process: RunnerProcess | undefined;
  let starts = 0;
  let frozenUntil = 0;
  let cutOffUntil = 0;
  const end = () => {
    process?.crash();
    process = undefined;
    machine.neglectJobs();
  };
  return {
    id,
    get isUp() {
      return process !== undefined;
    },
    get isIdle() {
      return process?.isIdle ?? false;
    },
    start() {
      if (process) return;
      starts += 1;
      frozenUntil = 0;
      process = startRunnerProcess({
        ...{ simulation, machine, caller, slots },
        instanceId: `${id}-${starts}`,
        found: capabilities,
        frozenUntil: () => frozenUntil,
        cutOffUntil: () => cutOffUntil,
        onExit: () => (process = undefined),
      });
    },
    crash: end,
    reboot(keepsDisk) {
      end();
      machine.reboot();
      if (!keepsDisk) machine.disk.clear();
    },
    freeze(time_ms) {
      if (!process) return;
      frozenUntil = Math.max(frozenUntil, Date.now() + time_ms);
      machine.neglectJobs();
    },
    cutOff(time_ms) {
      cutOffUntil = Math.max(cutOffUntil, Date.now() + time_ms);
    },
    loseLink: () => process?.loseLink(),
    renew: () => process?.renew(),
  };
}
