import { AgynError } from "../domain/errors.ts";

/** What may wait for a runner of one organization: so many workloads, and so many bytes of their specs and demands. */
export type PendingLimits = { maximumWorkloads: number; maximum_bytes: number };

export type Counted = { readonly id: string; readonly organizationId: string; readonly size_bytes: number };

/** How much waits for a runner, or is being started, of each organization, as far as this replica has heard (I9). */
export interface PendingRoom {
  /** Counts a start. Throws `LIMIT` where its organization has no room for it. */
  admit(start: Counted): void;
  /** Counts what waits already, whatever the limits. */
  note(workload: Counted): void;
  leave(workloadId: string): void;
  /** All that is counted now. */
  snapshot(): ReadonlyMap<string, Counted>;
  /** Takes back what was counted in `before`, was not counted anew since, and does not wait. */
  settle(before: ReadonlyMap<string, Counted>, waits: (workloadId: string) => boolean): void;
}

/** What is refused for want of room may be asked for again after this. */
const retryAfter_ms = 1000;
const advice = "wait until some are placed, stop some, or let the operator raise the limit";

/** Counts by organization, in memory only; throws `LIMIT` with the limit, its value and the depth. */
export function createPendingRoom({ maximumWorkloads, maximum_bytes }: PendingLimits): PendingRoom {
  const counted = new Map<string, Counted>();
  const depths = new Map<string, { workloads: number; bytes: number }>();
  const add = ({ organizationId, size_bytes }: Counted, by: 1 | -1) => {
    const depth = depths.get(organizationId) ?? { workloads: 0, bytes: 0 };
    depth.workloads += by;
    depth.bytes += by * size_bytes;
    if (depth.workloads === 0) depths.delete(organizationId);
    else depths.set(organizationId, depth);
  };
  const leave = (workloadId: string) => {
    const known = counted.get(workloadId);
    if (!known) return;
    counted.delete(workloadId);
    add(known, -1);
  };
  const note = ({ id, organizationId, size_bytes }: Counted) => {
    leave(id);
    // Of a record only this is kept.
    const own = { id, organizationId, size_bytes };
    counted.set(id, own);
    add(own, 1);
  };
  return {
    note,
    leave,
    admit(start) {
      const { workloads, bytes } = depths.get(start.organizationId) ?? { workloads: 0, bytes: 0 };
      if (workloads + 1 > maximumWorkloads)
        throw noRoom({
          limit: "pending_maximum_workloads",
          value: maximumWorkloads,
          depth: workloads,
          text: `${workloads} workloads of the organization wait for a runner, and at most ${maximumWorkloads} may`,
        });
      if (bytes + start.size_bytes > maximum_bytes)
        throw noRoom({
          limit: "pending_maximum_bytes",
          value: maximum_bytes,
          depth: bytes,
          text: `what waits for a runner of the organization takes ${bytes} bytes, and ${start.size_bytes} more would pass ${maximum_bytes}`,
        });
      note(start);
    },
    snapshot: () => new Map(counted),
    settle(before, waits) {
      for (const [id, one] of before) if (counted.get(id) === one && !waits(id)) leave(id);
    },
  };
}

function noRoom(shortage: { limit: string; value: number; depth: number; text: string }): AgynError {
  const { limit, value, depth, text } = shortage;
  return new AgynError("LIMIT", `${text} (${limit}): ${advice}`, {
    metadata: { limit, value: String(value), depth: String(depth) },
    retryAfter_ms,
  });
}
