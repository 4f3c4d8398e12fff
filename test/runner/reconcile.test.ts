import fc from "fast-check";
import { expect, test } from "vitest";
import type { HeldResult, Holding, Placement } from "../../runner/src/holding.ts";
import { reconcile, type Action, type HoldingEvent } from "../../runner/src/reconcile.ts";

const placement = (fence: bigint): Placement => ({
  workloadId: "wkl_aaaaaaaaaaaaaaaa",
  fence,
  executor: "simulated",
  resources: { slots: 1 },
  retriedWhenLost: false,
  lostAfterMs: undefined,
  graceMs: 1000,
});

const result: HeldResult = {
  outcome: "exited",
  exitCode: 0,
  signal: "",
  message: "",
  cpuMs: 0,
  memoryPeakBytes: 0,
  memorySampled: true,
  startTimeMs: 1,
  endTimeMs: 2,
};

/** One workload, and the machine as it would act: what it records is recorded, what it starts runs. */
function createMachine() {
  let holding: Holding | undefined;
  let seenFence = 0n;
  const done: Action[] = [];
  return {
    done,
    get holding() {
      return holding;
    },
    hear(event: HoldingEvent): Action[] {
      const decision = reconcile(holding, event, seenFence);
      holding = decision.holding;
      if (event.kind === "place" && event.placement.fence > seenFence) seenFence = event.placement.fence;
      done.push(...decision.actions);
      return decision.actions;
    },
  };
}

const fence = fc.bigInt({ min: 1n, max: 4n });
const order = { cause: "requested", graceMs: 10, reason: "asked" } as const;
const said: fc.Arbitrary<HoldingEvent> = fc.oneof(
  {
    weight: 3,
    arbitrary: fence.map((at) => ({ kind: "place" as const, placement: placement(at), refusal: undefined })),
  },
  fence.map((at) => ({ kind: "place" as const, placement: placement(at), refusal: "full" })),
  fence.map((at) => ({ kind: "stop" as const, fence: at, order })),
  fence.map((at) => ({ kind: "forget" as const, fence: at })),
  fence.map((at) => ({ kind: "completion_acknowledged" as const, fence: at })),
  fence.map((at) => ({ kind: "recorded" as const, fence: at })),
  fence.map((at) => ({ kind: "not_recorded" as const, fence: at, reason: "disk full" })),
  fence.map((at) => ({ kind: "started" as const, fence: at, startTimeMs: 1 })),
  { weight: 2, arbitrary: fence.map((at) => ({ kind: "ended" as const, fence: at, result })) },
  fence.map((at) => ({ kind: "log_settled" as const, fence: at })),
);
const history = fc.array(said, { maxLength: 60 });

test("I1: no history of duplicated, reordered and stale messages starts a placement twice", () => {
  fc.assert(
    fc.property(history, (events) => {
      const machine = createMachine();
      for (const event of events) machine.hear(event);

      const starts = machine.done
        .filter(({ kind }) => kind === "start")
        .map((action) => "fence" in action && action.fence);
      expect(new Set(starts).size).toBe(starts.length);
      for (const [index, start] of starts.entries())
        if (index > 0) expect(start > (starts[index - 1] ?? 0n)).toBe(true);
    }),
  );
});

test("I1: two executions of one workload never overlap", () => {
  fc.assert(
    fc.property(history, (events) => {
      const machine = createMachine();
      const running = new Set<bigint>();
      for (const event of events) {
        for (const action of machine.hear(event)) if (action.kind === "start") running.add(action.fence);
        if (event.kind === "ended") running.delete(event.fence);
        expect(running.size).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test("I2: what is said of a workload carries the fence it is held under, or rejects the one that was placed", () => {
  fc.assert(
    fc.property(history, (events) => {
      const machine = createMachine();
      for (const event of events) {
        const before = machine.holding?.placement.fence;
        for (const action of machine.hear(event)) {
          if (!action.kind.startsWith("say_") || !("fence" in action)) continue;
          const asked = event.kind === "place" ? event.placement.fence : event.fence;
          const held = [before, machine.holding?.placement.fence, action.kind === "say_rejected" ? asked : undefined];
          expect(held).toContain(action.fence);
        }
      }
    }),
  );
});

test("I4: a placement is accepted only after it was recorded", () => {
  fc.assert(
    fc.property(history, (events) => {
      const machine = createMachine();
      const recorded = new Set<bigint>();
      for (const event of events) {
        const waited = machine.holding?.phase.kind === "recording" && event.kind === "recorded";
        if (waited && machine.holding?.placement.fence === event.fence) recorded.add(event.fence);
        for (const action of machine.hear(event)) {
          if (action.kind === "say_accepted") expect(recorded).toContain(action.fence);
        }
      }
    }),
  );
});

test("bad-14: of two completions that differ the first counts", () => {
  const machine = createMachine();
  machine.hear({ kind: "place", placement: placement(1n), refusal: undefined });
  machine.hear({ kind: "recorded", fence: 1n });
  machine.hear({ kind: "ended", fence: 1n, result });

  const actions = machine.hear({ kind: "ended", fence: 1n, result: { ...result, exitCode: 9 } });

  expect(actions).toEqual([]);
  expect(machine.holding?.phase).toMatchObject({ kind: "completed", result: { exitCode: 0 } });
});

test("a workload goes once its completion is acknowledged and its log is settled, in either order", () => {
  for (const lasts of [
    ["completion_acknowledged", "log_settled"],
    ["log_settled", "completion_acknowledged"],
  ] as const) {
    const machine = createMachine();
    machine.hear({ kind: "place", placement: placement(1n), refusal: undefined });
    machine.hear({ kind: "recorded", fence: 1n });
    machine.hear({ kind: "ended", fence: 1n, result });

    machine.hear({ kind: lasts[0], fence: 1n });
    expect(machine.holding).toBeDefined();
    machine.hear({ kind: lasts[1], fence: 1n });
    expect(machine.holding).toBeUndefined();
    expect(machine.done.at(-1)).toMatchObject({ kind: "remove" });
  }
});

test("a newer placement of a workload that still runs here is rejected and the older one stopped", () => {
  const machine = createMachine();
  machine.hear({ kind: "place", placement: placement(1n), refusal: undefined });
  machine.hear({ kind: "recorded", fence: 1n });

  const actions = machine.hear({ kind: "place", placement: placement(2n), refusal: undefined });

  expect(actions.map(({ kind }) => kind)).toEqual(["drop_log", "stop", "say_rejected"]);
});

test("a workload that is stopped while it is recorded never starts", () => {
  const machine = createMachine();
  machine.hear({ kind: "place", placement: placement(1n), refusal: undefined });
  machine.hear({ kind: "stop", fence: 1n, order });

  machine.hear({ kind: "recorded", fence: 1n });

  expect(machine.done.map(({ kind }) => kind)).toEqual(["record", "say_accepted", "note_completed", "say_completed"]);
});

test("an end that the runner brought about is named after its cause", () => {
  for (const cause of ["lost", "runner_stopped"] as const) {
    const machine = createMachine();
    machine.hear({ kind: "place", placement: placement(1n), refusal: undefined });
    machine.hear({ kind: "recorded", fence: 1n });
    machine.hear({ kind: "stop", fence: 1n, order: { cause, graceMs: 5, reason: "because" } });

    const actions = machine.hear({ kind: "ended", fence: 1n, result: { ...result, outcome: "stopped" } });

    expect(actions.at(-1)).toMatchObject({ kind: "say_completed", result: { outcome: cause, message: "because" } });
  }
});
