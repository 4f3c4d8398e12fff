/* What is wrong with a trigger's configuration, before anything comes for it. */
import { isTimeZone, nextTime, parseCron } from "../domain/cron.ts";
import type { FieldViolation } from "../domain/errors.ts";
import { checkMapping } from "./map-inputs.ts";
import type { TriggerConfig } from "../domain/trigger-config.ts";

/** Every broken rule; `now_ms`: a schedule must come due some time after it. */
export function checkConfig(config: TriggerConfig, now_ms: number): FieldViolation[] {
  const { source } = config;
  const faults = checkMapping(config.inputs).map(({ input, message }) => ({
    field: `config.inputs["${input}"]`,
    description: message,
  }));
  if (source.kind === "webhook") {
    const { agentLabels, forge } = source;
    const isAgentless = agentLabels && forge === "generic";
    if (isAgentless) faults.push({ field: "config.webhook.agent_labels", description: "only forges send issues" });
    return faults;
  }
  const cron = parseCron(source.cron);
  if ("error" in cron) faults.push({ field: "config.schedule.cron", description: cron.error });
  if (!isTimeZone(source.timeZone)) {
    const description = `"${source.timeZone}" is no time zone: give a name such as Europe/Berlin`;
    faults.push({ field: "config.schedule.time_zone", description });
  } else if (!("error" in cron) && nextTime(cron, source.timeZone, now_ms) === undefined) {
    faults.push({ field: "config.schedule.cron", description: "never comes due" });
  }
  return faults;
}

/** When a schedule comes due after a time; undefined: never, or it is none. */
export function dueAfter({ source }: TriggerConfig, after_ms: number): number | undefined {
  if (source.kind !== "schedule") return undefined;
  const cron = parseCron(source.cron);
  return "error" in cron ? undefined : nextTime(cron, source.timeZone, after_ms);
}

/** A schedule that was due at `due`, found at `now`: the latest time that is made up for, and when it is due next. */
export function dueNow(
  config: TriggerConfig,
  { due_ms, now_ms }: { due_ms: number; now_ms: number },
): { slot_ms: number | undefined; next_ms: number | undefined } {
  const { source } = config;
  if (source.kind !== "schedule") return { slot_ms: undefined, next_ms: undefined };
  const earliest_ms = now_ms - Math.max(source.catchUp_ms, punctual_ms);
  // Of what was missed only the latest is made up for: the search begins where it may still count.
  let slot_ms = due_ms >= earliest_ms ? due_ms : dueAfter(config, earliest_ms - 1);
  if (slot_ms !== undefined && slot_ms > now_ms) return { slot_ms: undefined, next_ms: slot_ms };
  let next_ms = slot_ms === undefined ? undefined : dueAfter(config, slot_ms);
  for (let step = 0; next_ms !== undefined && next_ms <= now_ms && step < slotLimit; step += 1) {
    slot_ms = next_ms;
    next_ms = dueAfter(config, next_ms);
  }
  if (next_ms !== undefined && next_ms <= now_ms) {
    next_ms = dueAfter(config, now_ms);
  }
  return { slot_ms, next_ms };
}

/** So late a time still counts as met. */
const punctual_ms = 60_000;
/** Times looked at in one go: more than a day of minutes. */
const slotLimit = 2000;
