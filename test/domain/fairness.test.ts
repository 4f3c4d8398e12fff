import { expect, test } from "vitest";
import type { JobQueue } from "../../server/src/domain/job-queue.ts";
import { rankOf } from "../../server/src/domain/rank.ts";
import { queueOf, waiting } from "./queue-world.ts";

const jobLength_ms = 1000;

/** Runners that are free or not, and time that passes when they are all taken: until the job of this key has begun. */
function startOf(queue: JobQueue, key: bigint, slots: number, arrival: { at_ms: number; join: () => void }): number {
  const ends: { id: string; at_ms: number }[] = [];
  let now_ms = 0;
  let start_ms: number | undefined;
  let joined = false;
  while (start_ms === undefined) {
    if (!joined && now_ms >= arrival.at_ms) {
      arrival.join();
      joined = true;
    }
    queue.take(now_ms, (job) => {
      if (ends.length === slots) return undefined;
      // No two end at once, so that each freed slot is somebody's turn.
      ends.push({ id: job.id, at_ms: now_ms + jobLength_ms + ends.length });
      if (job.key === key) start_ms = now_ms;
      return "rnr_shared";
    });
    ends.sort((a, b) => a.at_ms - b.at_ms);
    const [first] = ends.splice(0, 1);
    now_ms = first!.at_ms;
    queue.remove(first!.id);
  }
  return start_ms;
}

test.each([1, 3, 16])(
  "ten thousand jobs of one organization delay the single job of another by one job's length at most (%d slots)",
  (slots) => {
    const queue = queueOf(Array.from({ length: 10_000 }, (_, key) => waiting(key)));
    const at_ms = 20 * jobLength_ms;

    const start_ms = startOf(queue, 99_999n, slots, {
      at_ms,
      join: () => queue.set(waiting(99_999, { organizationId: "org_b" })),
    });

    expect(start_ms - at_ms).toBeLessThanOrEqual(jobLength_ms + 2 * slots);
  },
);

test("ten thousand jobs of one project delay the single job of another by one job's length at most", () => {
  const queue = queueOf(Array.from({ length: 10_000 }, (_, key) => waiting(key, { projectId: "prj_a" })));
  const at_ms = 20 * jobLength_ms;
  const join = () => {
    const next = queue.listFirst(1)[0]!;
    // As the store gives turns: one after what is next.
    queue.set(waiting(99_999, { projectId: "prj_b", rank: rankOf(Number(next.key) + 1, 99_999n) }));
  };

  const start_ms = startOf(queue, 99_999n, 4, { at_ms, join });

  expect(start_ms - at_ms).toBeLessThanOrEqual(jobLength_ms + 8);
});
