import type { Logger } from "pino";
import { advanceRun, type AdvanceDeps, type Advanced } from "../runs/advance-run.ts";
import { cancelJobs, type CancelRun } from "../runs/cancel-run.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import { listAdmissibleRuns, listSupersededJobs, listSupersededRuns } from "../store/run-groups.ts";
import { getRun, lookForDue } from "../store/runs.ts";

export type AdvanceRunsDeps = AdvanceDeps & {
  log: Logger;
  leads: () => boolean;
  cancelRun: CancelRun;
  onAdvanced: (advanced: Advanced) => void;
};

/** Runs looked up at once; what is left is found by the next turn. */
const dueLimit = 1000;
/** Runs taken on side by side: their commits share the disk's time. */
const atOnce = 4;

/**
 * One turn of the loop that takes runs on (I10): every run that something is due of, that its group lets begin, or that a
 * newer one of its group ends. A run that cannot be taken on is said in the log and does not hold up the others.
 */
export function createRunAdvancer(deps: AdvanceRunsDeps): () => Promise<void> {
  const { sql, log, leads } = deps;
  const each = async <T>(things: readonly T[], act: (thing: T) => Promise<void>) => {
    const left = things.values();
    const work = async () => {
      for (const thing of left) {
        if (!leads()) return;
        await act(thing).catch((error: unknown) => log.error({ err: error, thing }, "a run cannot be taken on"));
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  };
  const advance = async (id: string) => {
    const advanced = await advanceRun(deps, id);
    if (advanced) deps.onAdvanced(advanced);
  };
  return async () => {
    if (!leads()) return;
    const { runs, hasGroups } = await lookForDue(sql, dueLimit);
    await each(runs, advance);
    if (!hasGroups) return;
    await each(await listSupersededRuns(sql, dueLimit), async ({ id, group, newer }) => {
      const reason = `superseded by run ${newer} of the concurrency group "${group}"`;
      if (await deps.cancelRun(id, { reason, grace_ms: null })) await tell(id, reason);
    });
    const jobs = await listSupersededJobs(sql, dueLimit);
    await each(Object.entries(Object.groupBy(jobs, (one) => one.runId)), async ([runId, superseded]) => {
      for (const [newer, ones] of Map.groupBy(superseded!, (one) => one.newer)) {
        const reason = `superseded by ${newer} of the concurrency group "${ones[0]!.group}"`;
        await cancelJobs(deps, runId, { jobIds: new Set(ones.map((one) => one.id)), reason, alsoRunning: true });
      }
    });
    await each(await listAdmissibleRuns(sql, dueLimit), advance);
  };

  async function tell(id: string, reason: string): Promise<void> {
    const run = await getRun(sql, id);
    if (!run) return;
    const scope = { kind: "organization", organizationId: run.organizationId } as const;
    const about = { scope, actor: "server", objectId: id, objectName: String(run.number) };
    await insertAuditEvent(sql, { ...about, action: "run.cancel", outcome: "ok", details: { reason } });
  }
}
