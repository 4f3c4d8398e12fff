import { expect, onTestFinished, test } from "vitest";
import { acquireLeadership, raiseFleetVersion, releaseLeadership } from "../../server/src/store/leader.ts";
import { startWorkloads } from "../../server/src/store/workload-starts.ts";
import {
  advanceWorkloads,
  endWorkloads,
  placeWorkloads,
  unplaceWorkloads,
  type PlacingGuard,
} from "../../server/src/store/workload-transitions.ts";
import { requestStop } from "../../server/src/store/workloads.ts";
import { createTestDatabase, type TestDatabase } from "../support/postgres.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { seeds } from "./seeds.ts";
import { createStoreInvariants } from "./store-invariants.ts";

/*
 * Seeded histories of the store alone, with words that no server of ours would say: two leaders that place at the same moment by guards
 * that may be old, and runners whose words come late, twice, after another's, or from a thief. AGYN_SIMULATION_SEED replays one.
 */

const steps = 250;
/** Placements that come and go make fences go stale. */
const often = ["reject", "reject", "reject", "reject", "place", "place", "place", "advance"];
const runners = ["rnr_a", "rnr_b", "rnr_c"];

type Placed = { id: string; fence: bigint; runnerId: string };

type History = {
  sql: TestDatabase["sql"];
  below: (bound: number) => number;
  invariants: ReturnType<typeof createStoreInvariants>;
};

test.each(seeds([1, 2, 3, 4]))(
  "whatever comes late, twice or out of order, I1, I2 and I3 hold (seed %i)",
  async (seed) => {
    const below = seededRandom(seed);
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const invariants = createStoreInvariants(database.sql);
    const { acts, placed } = createActs({ sql: database.sql, below, invariants });

    await acts["lead"]!();
    await acts["start"]!();
    for (let step = 0; step < steps; step += 1) {
      const possible = placed.length > 0 ? [...Object.keys(acts), ...often] : ["lead", "change", "start", "place"];
      const name = possible[below(possible.length)]!;
      await acts[name]!();
      expect(await invariants.broken(), `seed ${seed}, step ${step}: ${name}`).toEqual([]);
    }
  },
);

/** What may happen, by name; each draws from `below` with whom and how. `placed` grows with every placement. */
function createActs({ sql, below, invariants }: History) {
  const pick = <T>(values: readonly T[]) => values[below(values.length)]!;
  const writers = ["rep_a", "rep_b"].map((replicaId) => ({ replicaId, storeEpoch: 1 }));
  const guards: PlacingGuard[] = [{ epoch: 0n, fleetVersion: 0n }];
  const ids: string[] = [];
  const placed: Placed[] = [];
  const writer = () => pick(writers);
  /** Anything that was ever said, or what the runner that holds a workload now may say of an earlier placement. */
  const word = async () => {
    const live = await sql<Placed[]>`
      select id, fence, runner_id as "runnerId" from workload_life where phase <> 'pending'`;
    const held = new Map(live.map((one) => [`${one.id} ${one.runnerId}`, one.fence]));
    const stale = placed.filter((one) => (held.get(`${one.id} ${one.runnerId}`) ?? one.fence) !== one.fence);
    return pick(below(2) === 0 && stale.length > 0 ? stale : placed);
  };

  const recent = () => guards.at(-1 - below(Math.min(2, guards.length)))!;
  const took = (one: Placed) => {
    invariants.noteFence(one.fence);
    placed.push(one);
  };

  const acts: Record<string, () => Promise<unknown>> = {
    async lead() {
      const holder = writer().replicaId;
      if (below(2) === 0) await releaseLeadership(sql, pick(writers).replicaId);
      const led = await acquireLeadership(sql, holder, 60_000, below(3) === 0);
      if (led) guards.push({ epoch: led.epoch, fleetVersion: led.fleetVersion });
    },
    change: () => raiseFleetVersion(sql),
    async start() {
      const runnerId = below(2) === 0 ? pick(runners) : null;
      const workload = { ...plain, id: `wkl_${ids.length}`, runnerId, retryOnLost: below(2) === 0 };
      ids.push(workload.id);
      await invariants.onlyLeading(recent(), async (guard) => {
        const [started] = await startWorkloads(sql, writer(), guard, [workload]);
        if (started!.phase === "pending") return 0;
        took({ id: workload.id, fence: started!.fence, runnerId: runnerId! });
        return 1;
      });
    },
    async place() {
      const pending = await sql<
        { id: string; key: bigint }[]
      >`select id, key from workload_life where phase = 'pending' order by key limit 5`;
      const picks = pending.map(({ id, key }) => ({ id, key, runnerId: pick(runners), isHere: false }));
      // Two leaders decide the same at once; at most one of them may be heard.
      const both = await Promise.all(
        writers.map(async (one) => {
          let heard: Awaited<ReturnType<typeof placeWorkloads>> = [];
          await invariants.onlyLeading(
            recent(),
            async (guard) => (heard = await placeWorkloads(sql, one, guard, picks)).length,
          );
          return heard;
        }),
      );
      invariants.onlyOnce(both.flat().map((one) => one.id));
      for (const { id, fence } of both.flat().toSorted((a, b) => Number(a.fence - b.fence)))
        took({ id, fence, runnerId: picks.find((one) => one.id === id)!.runnerId });
    },
    advance: async () =>
      invariants.onlyLive(await word(), (of) =>
        advanceWorkloads(sql, writer(), [
          { ...of, phase: pick(["starting", "running", "stopping"]), time: new Date() },
        ]),
      ),
    reject: async () =>
      invariants.onlyLive(await word(), (of) =>
        unplaceWorkloads(sql, writer(), [{ ...of, message: "rejected", excludeFor_ms: 1000 }]),
      ),
    complete: async () =>
      invariants.onlyLive(await word(), (of) =>
        endWorkloads(sql, writer(), [ending(of, pick(["succeeded", "failed"]))]),
      ),
    lose: async () =>
      invariants.onlyLive(await word(), (of) =>
        endWorkloads(sql, writer(), [{ ...ending(of, "lost"), runnerId: null }]),
      ),
    forge: async () =>
      invariants.onlyLive({ ...(await word()), runnerId: "rnr_thief" }, (of) =>
        endWorkloads(sql, writer(), [ending(of, "succeeded")]),
      ),
    stop: () => requestStop(sql, pick(ids), { grace_ms: null, reason: "stop", writer: "rep_a" }),
  };

  return { acts, placed };
}

const plain = {
  organizationId: "org_x",
  name: "",
  labels: {},
  spec: new Uint8Array(),
  demand: {
    organizationId: "org_x",
    requirements: [],
    capabilities: [],
    executor: "process",
    resources: {},
    preferences: [],
  },
  maximumTries: 3,
  retryOnFailed: false,
  lostAfter_ms: 1000,
  pendingTimeout_ms: 1000,
  createdBy: "usr_x",
  verdict: "",
  message: "",
};

function ending({ id, fence, runnerId }: Placed, phase: "succeeded" | "failed" | "lost") {
  const terms = { phase, message: phase, phaseIfStopped: phase, messageIfStopped: phase };
  return { id, fence, runnerId, ...terms, result: null, mayRetry: phase !== "succeeded" };
}
