import type { Logger } from "pino";
import type { MasterKey } from "../identity/master-key.ts";
import type { OutgoingAnswer, OutgoingRequest } from "../outgoing/safe-request.ts";
import type { Sql } from "../store/database.ts";
import { claimReports, giveUpReport, noteTold, postponeReport, type ReportRow } from "../store/reports.ts";
import { commentCall, statusCall, type Call, type ReportTarget } from "../triggers/report-calls.ts";
import {
  addLabelCall,
  dropLabelCalls,
  issueLabelsOf,
  makeLabelCall,
  wantedLabel,
  type IssueLabel,
} from "../triggers/status-labels.ts";
import { openCredential } from "../triggers/trigger-secret.ts";
import { createHands } from "./hands.ts";

export type ReportDeps = {
  sql: Sql;
  masterKey: MasterKey;
  log: Logger;
  send: (request: OutgoingRequest) => Promise<OutgoingAnswer>;
  /** Hands are free again. */
  signal: () => void;
};

/** Reports sent at once by one replica, in all and of one organization: a forge that is slow holds those of its own, and no transaction (I13). */
const senders = 32;
const organizationSenders = 4;
const lease_ms = 60_000;
const triesLimit = 8;
const firstWait_ms = 1000;

export type ReportSender = {
  /** One turn of the loop (I10): takes what is due, as far as there are hands. What it took goes on after it. */
  run: () => Promise<void>;
  /** Waits for what is under way, no longer than the grace: what is left is sent again once its lease is over. */
  stop: (grace_ms: number) => Promise<void>;
};

/** Tells forges of runs. */
export function createReportSender(deps: ReportDeps): ReportSender {
  const { sql, log } = deps;
  const hands = createHands(senders, deps.signal);
  const report = async (row: ReportRow) => {
    try {
      const commentId = await tell(deps, row);
      await noteTold(sql, row, commentId);
    } catch (error) {
      const isLast = row.tries >= triesLimit;
      log.warn(
        { err: error, run_id: row.runId, trigger_id: row.triggerId, is_last: isLast },
        "a forge was not told of a run",
      );
      if (isLast) await giveUpReport(sql, row);
      else await postponeReport(sql, row.runId, firstWait_ms * 2 ** (row.tries - 1));
    }
  };
  return {
    async run() {
      if (hands.free === 0) return;
      const claim = { limit: hands.free, organizationLimit: organizationSenders, underWay: hands.underWay(), lease_ms };
      for (const row of await claimReports(sql, claim))
        hands.begin(row.organizationId, () =>
          report(row).catch((error: unknown) => log.error({ err: error, run_id: row.runId }, "a report was not noted")),
        );
    },
    stop: hands.stop,
  };
}

/** Answers the comment's id. */
async function tell({ send, masterKey }: ReportDeps, row: ReportRow): Promise<string> {
  const { target, state, runNumber, attempt, commentId } = row;
  const credential = openCredential(row, masterKey);
  const said = { credential, state, runNumber, attempt };
  const call = async (request: Call): Promise<string> => {
    const { status, body } = await send(request);
    if (status < 200 || status > 299) throw new Error(`${target.forge} answered ${status} to ${request.method}`);
    return body;
  };
  const status = statusCall(target, said);
  if (status) await call(status);
  const label = wantedLabel(target, state);
  if (label) await showLabel(call, target, { credential, label });
  const comment = commentCall(target, said, commentId);
  if (!comment) return commentId;
  const answer = JSON.parse(await call(comment)) as { id?: unknown };
  return typeof answer.id === "number" ? String(answer.id) : commentId;
}

/** Leaves the issue with one status label. A repository that does not know the label gets it first. */
async function showLabel(
  call: (request: Call) => Promise<string>,
  target: ReportTarget,
  asked: Parameters<typeof addLabelCall>[1],
): Promise<void> {
  const add = () => call(addLabelCall(target, asked));
  if (target.forge === "gitlab") {
    await add();
    return;
  }
  const has = (labels: readonly IssueLabel[]) => labels.some(({ name }) => name === asked.label);
  let labels = await add().then(issueLabelsOf, () => []);
  if (!has(labels)) {
    await call(makeLabelCall(target, asked));
    labels = issueLabelsOf(await add());
  }
  for (const drop of dropLabelCalls(target, asked, labels)) await call(drop);
}
