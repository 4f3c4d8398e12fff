import type { LiveJob } from "../domain/job-buckets.ts";
import type { Sql } from "../store/database.ts";
import { recordJobWaits, type JobWait } from "../store/job-waits.ts";
import type { QueueState } from "./queue-state.ts";
import type { Glance, QueueView } from "./queue-view.ts";

export type ExplainQueueDeps = {
  sql: Sql;
  state: QueueState;
  view: QueueView;
  leads: () => boolean;
  onExplained: () => void;
};

/** Of each organization, so many of those that go first are explained; the rest say nothing until their turn comes nearer. */
const explainedJobs = 100;

/**
 * One turn of the loop that writes down why jobs wait (I10), so that whoever watches runs sees it. What goes at once says nothing;
 * a job that waits for its next try keeps the message of the last.
 */
export function createQueueExplainer({ sql, state, view, leads, onExplained }: ExplainQueueDeps): () => Promise<void> {
  let written = new Map<string, string>();
  return async () => {
    if (!leads()) return;
    const glance = view.glance();
    const waits = state.queue.listFirst(explainedJobs).map((job) => waitOf(glance, job));
    const said = new Map(waits.map((one) => [one.id, `${one.verdict} ${one.message}`]));
    const news = waits.filter((one) => (written.get(one.id) ?? " ") !== said.get(one.id));
    if (news.length > 0 && (await recordJobWaits(sql, news)) > 0) onExplained();
    written = said;
  };
}

function waitOf(glance: Glance, job: LiveJob): JobWait {
  const { verdict, waitsFor, held } = glance.why(job, "this organization");
  if (verdict !== "placeable") return { id: job.id, verdict, message: waitsFor };
  return { id: job.id, verdict: "", message: held ? waitsFor : "" };
}
