import type { ServiceImpl } from "@connectrpc/connect";
import type { OrchestratorService } from "../../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import type { Workload } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { AgynError } from "../domain/errors.ts";
import type { WatchFeed } from "../loops/watch-feed.ts";
import type { Sql } from "../store/database.ts";
import type { Writer } from "../store/workload-transitions.ts";
import {
  getWorkload,
  listChangedWorkloadsOf,
  listLiveKeysOf,
  listWorkloadsByKey,
  type WorkloadRow,
} from "../store/workloads.ts";
import { targetOf } from "./context.ts";
import { watch } from "./watch.ts";

/** Specs have up to some hundred kilobytes each. */
const snapshotPage = 100;
/** Workloads that a watch catches up with from a bookmark; beyond it a snapshot is less (I9). */
const caughtUpLimit = 10_000;

/** The live view of an organization's workloads. */
export function createWorkloadWatch(
  { sql, writer, feed }: { sql: Sql; writer: Writer; feed: WatchFeed<WorkloadRow> },
  present: (rows: readonly WorkloadRow[]) => Promise<Workload[]>,
): Pick<ServiceImpl<typeof OrchestratorService>, "watchWorkloads"> {
  return {
    async *watchWorkloads(request, context) {
      const { organization } = targetOf(context, "organization");
      const followed = new Set(request.workloadId === "" ? [] : [request.workloadId]);
      const isWatched = (row: WorkloadRow) => {
        if (row.organizationId !== organization.id) return false;
        if (request.workloadId === "") return true;
        if (row.retryOf && followed.has(row.retryOf)) followed.add(row.id);
        return followed.has(row.id);
      };
      const source = {
        sql,
        storeEpoch: writer.storeEpoch,
        feed,
        changes: (from: string) => changesSince(organization.id, from),
        present: (rows: readonly WorkloadRow[]) => present(rows.filter(isWatched)),
        snapshot: () => snapshot(organization.id, request.workloadId),
      };
      for await (const step of watch(source, request.bookmark, context.signal)) {
        yield { workloads: step.items, bookmark: step.bookmark, snapshotComplete: step.snapshotComplete };
      }
    },
  };

  async function* snapshot(organizationId: string, workloadId: string): AsyncIterable<readonly WorkloadRow[]> {
    if (workloadId !== "") {
      const row = await getWorkload(sql, workloadId);
      yield row ? [row] : [];
      return;
    }
    // Their specs may be large: no more than a page of them at one time. One that ends meanwhile comes as a change.
    const keys = await listLiveKeysOf(sql, organizationId);
    for (let start = 0; start < keys.length; start += snapshotPage)
      yield await listWorkloadsByKey(sql, keys.slice(start, start + snapshotPage));
  }

  async function changesSince(organizationId: string, from: string): Promise<readonly WorkloadRow[]> {
    const rows = await listChangedWorkloadsOf(sql, organizationId, from, caughtUpLimit + 1);
    if (rows.length <= caughtUpLimit) return rows;
    const text = `more than ${caughtUpLimit} workloads changed since the bookmark: watch again without it, from a snapshot`;
    throw new AgynError("CURSOR_EXPIRED", text);
  }
}
