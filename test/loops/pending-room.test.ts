import { expect, test } from "vitest";
import { AgynError } from "../../server/src/domain/errors.ts";
import { createPendingRoom, type PendingRoom } from "../../server/src/loops/pending-room.ts";

const start = (id: string, size_bytes = 10, organizationId = "org_a") => ({ id, organizationId, size_bytes });

/** How a start was refused. */
function refusal(room: PendingRoom, one: ReturnType<typeof start>): AgynError | undefined {
  try {
    room.admit(one);
    return undefined;
  } catch (error) {
    if (error instanceof AgynError) return error;
    throw error;
  }
}

test("one workload too many is refused with the limit, its value, the depth and what to do", () => {
  const room = createPendingRoom({ maximumWorkloads: 2, maximum_bytes: 1000 });
  room.admit(start("a"));
  room.admit(start("b"));

  const refused = refusal(room, start("c"))!;

  expect(refused.message).toBe(
    "2 workloads of the organization wait for a runner, and at most 2 may (pending_maximum_workloads): wait until some are placed, stop some, or let the operator raise the limit",
  );
  const metadata = { limit: "pending_maximum_workloads", value: "2", depth: "2" };
  expect(refused).toMatchObject({ reason: "LIMIT", details: { metadata, retryAfter_ms: 1000 } });
});

test("a byte too many is refused, and one byte less is not", () => {
  const room = createPendingRoom({ maximumWorkloads: 10, maximum_bytes: 100 });
  room.admit(start("a", 60));

  const refused = refusal(room, start("b", 41))!;

  expect(refused.message).toContain("takes 60 bytes, and 41 more would pass 100 (pending_maximum_bytes)");
  expect(refused.details.metadata).toEqual({ limit: "pending_maximum_bytes", value: "100", depth: "60" });
  expect(refusal(room, start("b", 40))).toBeUndefined();
});

test("I13: what waits of one organization takes no room of another's", () => {
  const room = createPendingRoom({ maximumWorkloads: 1, maximum_bytes: 10 });
  room.admit(start("a"));

  expect(refusal(room, start("b", 10, "org_b"))).toBeUndefined();
});

test("what leaves makes room, also where it was told of twice", () => {
  const room = createPendingRoom({ maximumWorkloads: 1, maximum_bytes: 10 });
  room.admit(start("a"));
  room.note(start("a"));
  room.leave("a");
  room.leave("a");

  expect(refusal(room, start("b"))).toBeUndefined();
  expect(refusal(room, start("c"))).toBeDefined();
});

test("a reading of the store takes back what is gone, but not what came while it was under way", () => {
  const room = createPendingRoom({ maximumWorkloads: 2, maximum_bytes: 100 });
  room.admit(start("gone"));
  room.admit(start("again"));
  const before = room.snapshot();
  room.note(start("again"));

  room.settle(before, () => false);

  expect([...room.snapshot().keys()]).toEqual(["again"]);
});
