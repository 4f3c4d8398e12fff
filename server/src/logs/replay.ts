import type { JournalPlace } from "./journal.ts";
import type { JournalEntry } from "./journal-file.ts";
import type { LogCatalog } from "./log-catalog.ts";
import { addDurable, type LogState } from "./log-state.ts";

type Found = { entry: JournalEntry; place: JournalPlace };

/**
 * Takes up the entries of a journal, oldest first: chunks that follow what is sealed, ends that are not noted, and
 * deletions that may have been interrupted. Chunks that are sealed already, or whose predecessor was lost with a
 * failed write, are passed over.
 */
export async function replay(
  found: readonly Found[],
  deps: { catalog: LogCatalog; track(log: LogState): void; erase(workloadId: string): Promise<void> },
): Promise<void> {
  const lastDelete = new Map<string, number>();
  found.forEach(({ entry }, index) => {
    if (entry.kind === "delete") lastDelete.set(entry.workloadId, index);
  });
  for (const workloadId of lastDelete.keys()) await deps.erase(workloadId);
  for (const [index, { entry, place }] of found.entries()) {
    if (entry.kind === "delete" || index < (lastDelete.get(entry.workloadId) ?? -1)) continue;
    const { workloadId, fence } = entry;
    await deps.catalog.use({ workloadId, fence }, async (log) => {
      if (apply(log, entry, place)) deps.track(log);
    });
  }
}

function apply(log: LogState, entry: Exclude<JournalEntry, { kind: "delete" }>, place: JournalPlace): boolean {
  if (entry.kind === "chunk") {
    const { firstLine, count, size } = entry.chunk;
    return addDurable(log, { firstLine, count, size, place });
  }
  if (log.life.phase !== "open") return false;
  log.life = { phase: "ended", place };
  return true;
}
