import {
  DeliverySchema,
  DeliveryStateSchema,
  DeliveryState,
  ForgeSchema,
  ForkPolicySchema,
  OverlapPolicySchema,
  TriggerSchema,
  TriggerTokenSchema,
  type Delivery,
  type Trigger,
  type TriggerConfig,
  type TriggerToken,
  type Webhook,
} from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { fromProtoDuration, formatDuration } from "../durations.ts";
import { age, enumWord, formatBytes, instant, messageJson, pairs, type View } from "../view.ts";

/** `trigger web/forgejo is on, at version 3`: what became of one that was switched. */
export function switchedText({ projectName, name, version }: Trigger): string {
  return `trigger ${projectName}/${name} is ${version === 0 ? "off" : `on, at version ${version}`}`;
}

export const triggerView: View<Trigger> = {
  noun: "triggers",
  id: ({ id }) => id,
  toJson: messageJson(TriggerSchema),
  columns: [
    { header: "TRIGGER", value: ({ projectName, name }) => `${projectName}/${name}` },
    { header: "ID", value: ({ id }) => id },
    { header: "KIND", value: ({ config }) => kindWord(config) },
    {
      header: "STATE",
      value: ({ version }) => (version === 0 ? "off" : `on, version ${version}`),
      tone: ({ version }) => (version === 0 ? "dim" : "good"),
    },
    { header: "PIPELINE", value: ({ config }) => config?.pipeline ?? "" },
    { header: "NEXT", value: ({ nextTime }) => instant(nextTime) || "-" },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
  ],
  details: ({ config, ...trigger }) => [
    ["trigger", `${trigger.projectName}/${trigger.name}`],
    ["id", trigger.id],
    ["state", trigger.version === 0 ? "off" : `on, version ${trigger.version}`],
    ["hook path", trigger.hookPath],
    ["next", instant(trigger.nextTime)],
    ["pipeline", config?.pipeline ?? ""],
    ["ref", config?.ref ?? ""],
    ["inputs", pairs(config?.inputs ?? {})],
    ["run labels", pairs(config?.labels ?? {})],
    ["priority", config?.priority ? String(config.priority) : ""],
    ...kindDetails(config),
    ["versions", trigger.versions.map(({ version, enabled }) => `${version} ${enabled ? "on" : "off"}`).join(", ")],
    ["created", instant(trigger.createTime)],
    ["updated", instant(trigger.updateTime)],
  ],
};

function kindWord(config: TriggerConfig | undefined): string {
  const { kind } = config ?? {};
  if (kind?.case === "webhook") return enumWord(ForgeSchema, kind.value.forge);
  return kind?.case === "schedule" ? `${kind.value.cron} ${kind.value.timeZone}` : "";
}

function kindDetails(config: TriggerConfig | undefined): [string, string][] {
  const { kind } = config ?? {};
  if (kind?.case === "webhook") {
    return [["webhook of", enumWord(ForgeSchema, kind.value.forge)], ...filterDetails(kind.value)];
  }
  if (kind?.case !== "schedule") return [];
  const { cron, timeZone, overlap, catchUp } = kind.value;
  return [
    ["schedule", cron],
    ["time zone", timeZone],
    ["overlap", enumWord(OverlapPolicySchema, overlap)],
    ["catch up", catchUp === undefined ? "" : formatDuration(fromProtoDuration(catchUp))],
  ];
}

function filterDetails(webhook: Webhook): [string, string][] {
  const { events, actions, branches, tags, paths, authors, labels, forks, agentLabels } = webhook;
  return [
    ["events", events.join(", ")],
    ["actions", actions.join(", ")],
    ["branches", branches.join(", ")],
    ["tags", tags.join(", ")],
    ["paths", paths.join(", ")],
    ["authors", authors.join(", ")],
    ["labels", labels.join(", ")],
    ["forks", enumWord(ForkPolicySchema, forks)],
    ["agent labels", agentLabels ? "yes" : ""],
  ];
}

export const deliveryView: View<Delivery> = {
  noun: "deliveries",
  id: ({ id }) => id,
  toJson: messageJson(DeliverySchema),
  columns: [
    { header: "TIME", value: ({ createTime }) => instant(createTime) },
    { header: "ID", value: ({ id }) => id },
    { header: "EVENT", value: ({ event }) => event },
    {
      header: "STATE",
      value: ({ state }) => enumWord(DeliveryStateSchema, state),
      tone: ({ state }) =>
        ({ [DeliveryState.STARTED]: "good", [DeliveryState.FAILED]: "bad" } as const)[state as number],
    },
    { header: "RUN", value: ({ runId }) => runId || "-" },
    { header: "REASON", value: ({ reason }) => reason },
    { header: "SENDER'S ID", value: ({ senderId }) => senderId, isWide: true },
    { header: "SIZE", value: ({ payloadBytes }) => formatBytes(payloadBytes), isWide: true },
    { header: "TRIES", value: ({ tries }) => String(tries), isWide: true },
    { header: "AGAIN OF", value: ({ redeliveryOf }) => redeliveryOf, isWide: true },
  ],
  details: () => [],
};

export const triggerTokenView: View<TriggerToken> = {
  noun: "trigger tokens",
  id: ({ id }) => id,
  toJson: messageJson(TriggerTokenSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "ID", value: ({ id }) => id },
    {
      header: "STATE",
      value: ({ revokeTime }) => (revokeTime === undefined ? "active" : "revoked"),
      tone: ({ revokeTime }) => (revokeTime === undefined ? undefined : "dim"),
    },
    { header: "EXPIRES", value: ({ expireTime }) => instant(expireTime) || "never" },
    { header: "USED", value: ({ useTime }, now) => age(useTime, now) },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
  ],
  details: () => [],
};
