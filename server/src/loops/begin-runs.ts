import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { advanceRun, type AdvanceDeps, type Advanced } from "../runs/advance-run.ts";
import { listBegunRuns, listLiveRunsAmong } from "../store/runs.ts";

export type BeginRunsDeps = AdvanceDeps & {
  log: Logger;
  leads: () => boolean;
  onAdvanced: (advanced: Advanced) => void;
};

/** Runs whose jobs were taken from the queue, until their own records say so. */
export interface RunBeginner {
  /** A job of each was taken. */
  note(runIds: Iterable<string>): void;
  /** One turn of the loop (I10). */
  turn(): Promise<void>;
}

/** A run of which jobs are taken one after the other is written once for so long; one that ends meanwhile is written with its end. */
const gathering_ms = 50;

/**
 * Writes how far runs have got whose jobs begin. Claims leave the run's row alone: it is held by whoever takes the run on, and no start
 * is to wait for that.
 */
export function createRunBeginner(deps: BeginRunsDeps): RunBeginner {
  const { sql, log, leads } = deps;
  const begun = new Set<string>();
  /** Whether what a former leader claimed and did not write was looked for. */
  let isCaughtUp = false;
  return {
    note(runIds) {
      for (const id of runIds) begun.add(id);
    },
    async turn() {
      if (!leads()) {
        begun.clear();
        isCaughtUp = false;
        return;
      }
      if (!isCaughtUp) for (const id of await listBegunRuns(sql)) begun.add(id);
      isCaughtUp = true;
      if (begun.size === 0) return;
      await delay(gathering_ms);
      const noted = [...begun];
      const live = await listLiveRunsAmong(sql, noted);
      // One of which another job is taken from here on is noted again.
      for (const id of noted) begun.delete(id);
      for (const id of live) {
        const advanced = await advanceRun(deps, id).catch((error: unknown) => {
          log.error({ err: error, run: id }, "a run that began cannot be taken on");
        });
        if (advanced) deps.onAdvanced(advanced);
      }
    },
  };
}
