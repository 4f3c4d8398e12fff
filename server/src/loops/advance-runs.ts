import type { Logger } from "pino";
import { advanceRun, type AdvanceDeps, type Advanced } from "../runs/advance-run.ts";
import { listDueRuns } from "../store/runs.ts";

export type AdvanceRunsDeps = AdvanceDeps & {
  log: Logger;
  leads: () => boolean;
  onAdvanced: (advanced: Advanced) => void;
};

/** Runs looked up at once; what is left is found by the next turn. */
const dueLimit = 1000;

/**
 * One turn of the loop that takes runs on (I10): every run that something is due of. A run that cannot be taken on is
 * said in the log and does not hold up the others.
 */
export function createRunAdvancer(deps: AdvanceRunsDeps): () => Promise<void> {
  const advance = async (id: string) => {
    try {
      const advanced = await advanceRun(deps, id);
      if (advanced) deps.onAdvanced(advanced);
    } catch (error) {
      deps.log.error({ err: error, run: id }, "a run cannot be taken on");
    }
  };
  return async () => {
    if (!deps.leads()) return;
    for (const id of await listDueRuns(deps.sql, dueLimit)) await advance(id);
  };
}
