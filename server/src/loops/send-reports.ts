import type { Logger } from "pino";
import { hasRunEnded } from "../domain/run-state.ts";
import type { MasterKey } from "../identity/master-key.ts";
import type { OutgoingAnswer, OutgoingRequest } from "../outgoing/safe-request.ts";
import type { Sql } from "../store/database.ts";
import { claimReports, deleteReport, noteTold, postponeReport, type ReportRow } from "../store/reports.ts";
import { commentCall, statusCall, type Call } from "../triggers/report-calls.ts";
import { openCredential } from "../triggers/trigger-secret.ts";

export type ReportDeps = {
  sql: Sql;
  masterKey: MasterKey;
  log: Logger;
  send: (request: OutgoingRequest) => Promise<OutgoingAnswer>;
  signal: () => void;
};

/** Reports sent at once by one replica: a forge that is slow holds one of them, and no transaction. */
const senders = 8;
const lease_ms = 60_000;
const triesLimit = 8;
const firstWait_ms = 1000;

/** One turn of the loop that tells forges of runs (I10): takes what is due as far as there are hands, and does not wait for it. */
export function createReportSender(deps: ReportDeps): () => Promise<void> {
  const { sql, log } = deps;
  let sending = 0;
  const report = async (row: ReportRow) => {
    try {
      const commentId = await tell(deps, row);
      await noteTold(sql, row.runId, { told: row.state, commentId });
      if (hasRunEnded(row.state)) await deleteReport(sql, row.runId);
    } catch (error) {
      const isLast = row.tries >= triesLimit;
      log.warn(
        { err: error, run_id: row.runId, trigger_id: row.triggerId, is_last: isLast },
        "a forge was not told of a run",
      );
      if (isLast) await deleteReport(sql, row.runId);
      else await postponeReport(sql, row.runId, firstWait_ms * 2 ** (row.tries - 1));
    }
  };
  return async () => {
    if (sending >= senders) return;
    for (const row of await claimReports(sql, { limit: senders - sending, lease_ms })) {
      sending += 1;
      report(row)
        .catch((error: unknown) => log.error({ err: error, run_id: row.runId }, "a report was not noted"))
        .finally(() => {
          sending -= 1;
          deps.signal();
        });
    }
  };
}

/** Answers the comment's id. */
async function tell({ send, masterKey }: ReportDeps, row: ReportRow): Promise<string> {
  const { target, state, runNumber, commentId } = row;
  const said = { credential: openCredential(row, masterKey), state, runNumber };
  const call = async (request: Call): Promise<string> => {
    const { status, body } = await send(request);
    if (status < 200 || status > 299) throw new Error(`${target.forge} answered ${status} to ${request.method}`);
    return body;
  };
  const status = statusCall(target, said);
  if (status) await call(status);
  const comment = commentCall(target, said, commentId);
  if (!comment) return commentId;
  const answer = JSON.parse(await call(comment)) as { id?: unknown };
  return typeof answer.id === "number" ? String(answer.id) : commentId;
}
