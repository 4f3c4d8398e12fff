import type { Sql } from "../../server/src/store/database.ts";
import type { PlacingGuard } from "../../server/src/store/workload-transitions.ts";

type Of = { id: string; fence: bigint; runnerId: string };

/** Looks after each step of a history whether the invariants hold, by SQL alone. */
export function createStoreInvariants(sql: Sql) {
  const ended = new Map<string, string>();
  const faults: string[] = [];
  let highestFence = 0n;
  const read = async (id: string) => {
    const [row] =
      await sql`select phase, fence, runner_id, message, retried_by, change_xid::text from any_workload where id = ${id}`;
    return row;
  };
  return {
    /** I1: fences come from one growing sequence. */
    noteFence(fence: bigint) {
      if (fence <= highestFence) faults.push(`I1: fence ${fence} came after ${highestFence}`);
      highestFence = fence > highestFence ? fence : highestFence;
    },
    /** I1: of two that place at the same moment one is heard. */
    onlyOnce(placedIds: readonly string[]) {
      const twice = placedIds.find((id, position) => placedIds.indexOf(id) !== position);
      if (twice !== undefined) faults.push(`I1: ${twice} was placed twice at once`);
    },
    /** I2: does what carries a fence, and sees that nothing changed unless it was the live one. */
    async onlyLive<T extends Of>(of: T, act: (of: T) => Promise<unknown>) {
      const before = await read(of.id);
      await act(of);
      const isLive = before?.["fence"] === of.fence;
      if (!isLive && text(before) !== text(await read(of.id)))
        faults.push(`I2: stale fence ${of.fence} changed ${of.id}`);
    },
    /** I10: sees that nothing was placed by a guard that does not hold; `act` answers how many were. */
    async onlyLeading(guard: PlacingGuard, act: (guard: PlacingGuard) => Promise<number>) {
      const placed = await act(guard);
      const [leader] = await sql<PlacingGuard[]>`
        select epoch, fleet_version as "fleetVersion" from leader where name = 'orchestrator' and expire_time > now()`;
      const holds = leader?.epoch === guard.epoch && leader.fleetVersion === guard.fleetVersion;
      if (placed > 0 && !holds) faults.push(`I10: ${text(guard)} placed, and ${text(leader)} leads`);
    },
    /** What does not hold. */
    async broken(): Promise<string[]> {
      const twice = await sql<{ id: string }[]>`select id from any_workload group by id having count(*) > 1`;
      const shared = await sql<{ fence: bigint }[]>`
        select fence from any_workload where fence > 0 group by fence having count(*) > 1`;
      const loose = await sql<{ id: string }[]>`
        select id from workload_life where (phase = 'pending') <> (runner_id is null) or phase in ('succeeded', 'failed', 'cancelled', 'lost')`;
      const retried = await sql<{ id: string }[]>`
        select e.id from any_workload e left join any_workload r on r.id = e.retried_by and r.retry_of = e.id and r.try = e.try + 1
        where e.retried_by is not null and r.id is null
        union all select retry_of from any_workload where retry_of is not null group by retry_of having count(*) > 1`;
      return [
        ...faults,
        ...twice.map(({ id }) => `I1: ${id} is there twice`),
        ...shared.map(({ fence }) => `I1: fence ${fence} is shared`),
        ...loose.map(({ id }) => `I1: ${id} is bound without a placement, or placed without a runner`),
        ...retried.map(({ id }) => `I1: ${id} is not tried again exactly once`),
        ...(await changedEnds()),
      ];
    },
  };

  /** I3: a terminal phase never changes. */
  async function changedEnds(): Promise<string[]> {
    const changed: string[] = [];
    for (const row of await sql`select id, phase, fence, message, retried_by, end_time from any_workload where end_time is not null`) {
      const now = text(row);
      const before = ended.get(row["id"] as string) ?? now;
      if (before !== now) changed.push(`I3: ${before} became ${now}`);
      ended.set(row["id"] as string, before);
    }
    return changed;
  }
}

function text(row: unknown): string {
  return JSON.stringify(row, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)) ?? "";
}
