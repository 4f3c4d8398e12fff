import { expect, test } from "vitest";
import { decideDelivery, hearsEvent, maximumTries, unknownPatterns } from "../../server/src/domain/webhook.ts";

const all = { projectId: null, events: [], labels: {} };
const event = { type: "run.failed", projectId: "prj_a", labels: { team: "ml", region: "eu" } };

test.each([
  ["everything, where nothing is set", {}, true],
  ["its type", { events: ["run.failed"] }, true],
  ["all of its noun", { events: ["run.*"] }, true],
  ["its end of any noun", { events: ["*.failed"] }, true],
  ["one of several", { events: ["job.*", "run.failed"] }, true],
  ["another type", { events: ["run.succeeded"] }, false],
  ["another noun", { events: ["job.*"] }, false],
  ["its project", { projectId: "prj_a" }, true],
  ["another project", { projectId: "prj_b" }, false],
  ["its labels", { labels: { team: "ml", region: "eu" } }, true],
  ["a label of another value", { labels: { team: "web" } }, false],
  ["a label that it lacks", { labels: { constructor: "" } }, false],
])("a webhook for %s hears a failed run as it should", (_name, filter, hears) => {
  expect(hearsEvent({ ...all, ...filter }, event)).toBe(hears);
});

test("patterns that no event fits are found", () => {
  expect(unknownPatterns(["run.failed", "*.*", "run.started", "machine.*", "runner.succeeded"])).toEqual([
    "run.started",
    "machine.*",
    "runner.succeeded",
  ]);
});

const policy = { firstRetry_ms: 5000, disableAfter_ms: 3 * 86_400_000, random: () => 0.5 };
const fresh = { tries: 0, failures: 0, failing_ms: 0 };

test("what is answered with 200 to 299 is delivered, and all else is tried again", () => {
  for (const status of [200, 204, 299]) expect(decideDelivery({ status }, fresh, policy).state).toBe("delivered");
  for (const status of [0, 199, 302, 400, 404, 429, 500]) {
    expect(decideDelivery({ status }, fresh, policy).state).toBe("waiting");
  }
  expect(decideDelivery({ error: "refused" }, fresh, policy)).toMatchObject({ state: "waiting", error: "refused" });
  expect(decideDelivery({ status: 302 }, fresh, policy)).toMatchObject({
    error: expect.stringContaining("redirects are not followed") as string,
  });
});

test("each further wait is four times as long, up to six hours, and the last try settles it", () => {
  const waits = Array.from({ length: maximumTries }, (_, tries) => {
    const outcome = decideDelivery({ status: 500 }, { ...fresh, tries }, policy);
    return outcome.state === "waiting" ? outcome.wait_ms / 1000 : outcome.state;
  });
  expect(waits).toEqual([5, 20, 80, 320, 1280, 5120, 20_480, 21_600, 21_600, "failed"]);
});

test("waits are spread by a fifth, so that what failed together does not come back together", () => {
  const waits = [0, 1].map((random) => decideDelivery({ status: 500 }, fresh, { ...policy, random: () => random }));
  expect(waits).toMatchObject([{ wait_ms: 4000 }, { wait_ms: 6000 }]);
});

test("a webhook that keeps failing is asked less and less often, but at least once a minute", () => {
  const holds = [0, 1, 2, 3, 6, 1000].map((failures) => {
    const outcome = decideDelivery({ error: "refused" }, { ...fresh, failures }, policy);
    return outcome.state === "delivered" ? 0 : outcome.hold_ms / 1000;
  });
  expect(holds).toEqual([1.25, 2.5, 5, 10, 60, 60]);
});

test("a webhook is switched off when it wants no more, or has taken nothing for too long", () => {
  const long = { ...fresh, failing_ms: policy.disableAfter_ms };
  expect(decideDelivery({ status: 410 }, fresh, policy)).toMatchObject({
    disableReason: expect.stringContaining("410") as string,
  });
  expect(decideDelivery({ status: 500 }, long, policy)).toMatchObject({
    disableReason: expect.stringMatching(/too long; at last.*500/) as string,
  });
  expect(decideDelivery({ status: 500 }, { ...long, failing_ms: 1 }, policy)).toMatchObject({
    disableReason: undefined,
  });
});
