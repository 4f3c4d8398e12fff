import { expect, test } from "vitest";
import { wayInRefusal, type WayIn } from "../../server/src/domain/way-in.ts";

const runner = { name: "build-1", isConnected: true, opensTunnels: true, version: "0.1.0" };

test.each<[string, WayIn, string | undefined, string]>([
  ["it runs and its runner is here", { phase: "running", runner }, undefined, ""],
  ["it waits", { phase: "pending", runner: undefined }, "STATE", "this one is pending"],
  ["it is being started", { phase: "starting", runner }, "STATE", "this one is starting"],
  ["it is being stopped", { phase: "stopping", runner }, "STATE", "this one is stopping"],
  ["it has ended", { phase: "lost", runner }, "STATE", "this one is lost"],
  [
    "its runner is away",
    { phase: "running", runner: { ...runner, isConnected: false } },
    "UNAVAILABLE",
    "build-1 is out",
  ],
  ["its runner is older", { phase: "running", runner: { ...runner, opensTunnels: false } }, "STATE", "(version 0.1.0)"],
])("whether there is a way into a workload: %s", (_case, wayIn, reason, text) => {
  const refusal = wayInRefusal(wayIn);
  expect(refusal?.reason).toBe(reason);
  expect(refusal?.message ?? "").toContain(text);
});
