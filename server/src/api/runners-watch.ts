import type { ServiceImpl } from "@connectrpc/connect";
import type { RunnersService } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import type { WatchFeed } from "../loops/watch-feed.ts";
import { listAllRunners, listChangedRunners, listRunners, listRunnersById, type RunnerRow } from "../store/runners.ts";
import { targetOf, userOf } from "./context.ts";
import { toRunnerProtos, type RunnerProtoDeps } from "./runner-proto.ts";
import { watch } from "./watch.ts";

const snapshotPage = 500;

/** The live view of the runners that an organization sees. */
export function createRunnerWatch(
  deps: RunnerProtoDeps & { storeEpoch: number; feed: WatchFeed<RunnerRow> },
): Pick<ServiceImpl<typeof RunnersService>, "watchRunners"> {
  const { sql } = deps;
  return {
    async *watchRunners(request, context) {
      const { organization } = targetOf(context, "organization");
      const caller = userOf(context);
      const isVisible = (row: RunnerRow) => row.organizationId === null || row.organizationId === organization.id;
      const source = {
        sql,
        storeEpoch: deps.storeEpoch,
        feed: deps.feed,
        changes,
        present: (rows: readonly RunnerRow[]) => toRunnerProtos(deps, rows.filter(isVisible), caller),
        snapshot: () => snapshot(organization.id),
      };
      for await (const step of watch(source, request.bookmark, context.signal)) {
        yield { runners: step.items, bookmark: step.bookmark, snapshotComplete: step.snapshotComplete };
      }
    },
  };

  /** Of the rows, and of who is busy, which no row says. */
  async function changes(from: string): Promise<RunnerRow[]> {
    const changed = await listChangedRunners(sql, from);
    const busy = deps.fleet.busy.turnedSince(from);
    const turned = busy ? await listRunnersById(sql, [...busy]) : await listAllRunners(sql);
    return [...new Map([...turned, ...changed].map((row) => [row.id, row])).values()];
  }

  async function* snapshot(organizationId: string): AsyncIterable<readonly RunnerRow[]> {
    const filter = { organizationId, clusterOnly: false, labels: {}, statuses: [] };
    for (let token = ""; ;) {
      const page = await listRunners(sql, filter, { size: snapshotPage, token });
      yield page.rows;
      if (page.nextToken === "") return;
      token = page.nextToken;
    }
  }
}
