import type { Demand } from "../domain/demand.ts";
import { explain, type Explanation } from "../domain/explanation.ts";
import { nobody } from "../domain/excluded.ts";
import { unmetOf, standingOf } from "../domain/selection.ts";
import { servesOrganization } from "../domain/runner.ts";
import { unmetConstraintText } from "../domain/unmet-constraint.ts";
import { estimateWait, furthestPlace, type Estimate } from "../domain/wait-estimate.ts";
import type { Contest, LiveJob } from "../domain/job-buckets.ts";
import type { FleetState } from "./fleet-state.ts";
import type { QueueState } from "./queue-state.ts";

/** Why a job waits. */
type Hindrance = {
  verdict: Explanation["verdict"];
  /** What stands in the way, in one line. */
  waitsFor: string;
  /** Whether that is something other than the runners: a pause, a limit, a group. */
  held: boolean;
};

/** What people want to know of a job that waits. */
export type Waiting = Hindrance & {
  /** From 1 among those that compete for its runners; 0 where no runner can take it, or something else holds it. */
  position: number;
  competitors: number;
  /** The runners that could take it, free or not. */
  runnerIds: readonly string[];
};

export interface QueueView {
  /** The queue as this replica sees it now, for looking at many jobs; not to be kept. */
  glance(): Glance;
  explain(demand: Demand, limit: number): Explanation;
}

/** The queue of one moment: what jobs that ask for the same have in common is found once. */
export interface Glance {
  /** Of a job that waits, without its place among the others, which costs far more. */
  why(job: LiveJob, organizationName: string): Hindrance;
  /** Of a job that waits. */
  look(job: LiveJob, organizationName: string): Waiting;
  /** How long a job will probably wait; `undefined` where nothing tells, or something else than the runners holds it. */
  estimate(job: LiveJob, position: number): Estimate | undefined;
}

/** How long what the fleet can do is remembered: lists ask it of many jobs that are alike. */
const memory_ms = 500;

type Remembered = {
  until_ms: number;
  explanation: Explanation;
  possible: ReadonlySet<string>;
  /** Whether another demand asks for any of the same runners. */
  rivals: Map<Demand, boolean>;
};

/** Sees the queue by the very rules that placing goes by (I8). */
export function createQueueView(fleet: FleetState, state: QueueState): QueueView {
  const remembered = new WeakMap<Demand, Remembered>();
  const judge = (demand: Demand): Remembered => {
    const now_ms = performance.now();
    const earlier = remembered.get(demand);
    if (earlier && earlier.until_ms > now_ms) return earlier;
    const members = fleet.index.members();
    const explanation = explain(members, demand, {
      excluded: nobody,
      viewerOrganizationId: demand.organizationId,
      limit: 0,
    });
    const possible = members
      .filter(({ runner }) => servesOrganization(runner, demand.organizationId))
      .filter((member) => standingOf(unmetOf(demand, { member, excluded: false })) !== "never")
      .map(({ runner }) => runner.id);
    const judged = {
      until_ms: now_ms + memory_ms,
      explanation,
      possible: new Set(possible),
      rivals: new Map<Demand, boolean>(),
    };
    remembered.set(demand, judged);
    return judged;
  };
  const isRival = (demand: Demand, other: Demand): boolean => {
    if (other === demand) return true;
    const { rivals, possible } = judge(demand);
    const before = rivals.get(other);
    if (before !== undefined) return before;
    const rival = [...judge(other).possible].some((id) => possible.has(id));
    rivals.set(other, rival);
    return rival;
  };
  const glance = (): Glance => {
    const contests = new Map<Demand, Contest>();
    const runnings = new Map<Demand, readonly LiveJob[]>();
    const contestOf = (demand: Demand) =>
      known(contests, demand, () => state.queue.contest((other) => isRival(demand, other)));
    const runningOf = ({ demand, organizationId }: LiveJob) =>
      known(runnings, demand, () => {
        const { possible } = judge(demand);
        return state.queue.listRunning(organizationId).filter((one) => possible.has(one.runnerId!));
      });
    const why: Glance["why"] = (job, organizationName) => {
      const { explanation } = judge(job.demand);
      const { verdict } = explanation;
      const hold = state.queue.heldBy(job, Date.now());
      const unmet = () => unmetConstraintText(explanation, { organizationName });
      return { verdict, waitsFor: hold || (verdict === "placeable" ? "its turn" : unmet()), held: hold !== "" };
    };
    return {
      why,
      look(job, organizationName) {
        const hindrance = why(job, organizationName);
        const runnerIds = [...judge(job.demand).possible];
        if (hindrance.verdict === "never" || hindrance.held)
          return { ...hindrance, position: 0, competitors: 0, runnerIds };
        const contest = contestOf(job.demand);
        return { ...hindrance, position: contest.countBefore(job) + 1, competitors: contest.size, runnerIds };
      },
      estimate(job, position) {
        if (position === 0 || position > furthestPlace) return undefined;
        const running = runningOf(job);
        if (running.length === 0) return undefined;
        return estimateWait(state.times, job, {
          before: contestOf(job.demand).listBefore(job, furthestPlace),
          running,
        });
      },
    };
  };
  return {
    glance,
    explain: (demand, limit) =>
      explain(fleet.index.members(), demand, {
        excluded: nobody,
        viewerOrganizationId: demand.organizationId,
        limit,
      }),
  };
}

/** What a map has for a demand, made where it has nothing. */
function known<T>(map: Map<Demand, T>, demand: Demand, make: () => T): T {
  const value = map.get(demand) ?? make();
  map.set(demand, value);
  return value;
}
