import { expect, test } from "vitest";
import { checkConfig, dueNow } from "../../server/src/triggers/check-config.ts";
import type { ScheduleConfig, TriggerConfig } from "../../server/src/domain/trigger-config.ts";

function schedule(changes: Partial<ScheduleConfig> = {}): TriggerConfig {
  const source = { kind: "schedule", cron: "0 * * * *", timeZone: "UTC", overlap: "skip", catchUp_ms: 0 } as const;
  return { pipeline: "a.yaml", ref: "", inputs: {}, labels: {}, priority: 0, source: { ...source, ...changes } };
}

const at = (text: string) => Date.parse(`2026-01-01T${text}Z`);
const hour_ms = 3_600_000;

test.each([
  ["met", "03:00:01", 0, "03:00", "04:00"],
  ["missed by half an hour without a window", "03:30", 0, undefined, "04:00"],
  ["missed by half an hour within a window", "03:30", hour_ms, "03:00", "04:00"],
  ["missed often: only the latest is made up for", "07:30", 24 * hour_ms, "07:00", "08:00"],
  ["missed by more than its window", "09:59", hour_ms / 2, undefined, "10:00"],
])("bad-28: a time that was %s", (...[, now, catchUp_ms, slot, next]) => {
  const found = dueNow(schedule({ catchUp_ms }), { due_ms: at("03:00"), now_ms: at(now) });
  expect(found).toEqual({ slot_ms: slot && at(slot), next_ms: at(next) });
});

test("each fault of a configuration is told with its field", () => {
  const config = { ...schedule({ cron: "* * 31 2 *", timeZone: "Mars/Olympus" }), inputs: { a: "${{ inputs.b }}" } };
  expect(checkConfig(config, at("00:00"))).toEqual([
    { field: 'config.inputs["a"]', description: expect.stringContaining("event` alone") },
    { field: "config.schedule.cron", description: "never comes due: none of its months has such a day" },
    { field: "config.schedule.time_zone", description: expect.stringContaining("Mars/Olympus") },
  ]);
});

test.each(["${{ event.", "${{ nothing() }}", "${{ success() }}", "${{ event.a == }}", "${{ secrets.a }}"])(
  "the expression %s is refused",
  (text) => {
    expect(checkConfig({ ...schedule(), inputs: { a: text } }, at("00:00"))).toHaveLength(1);
  },
);
