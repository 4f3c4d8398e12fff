import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  DeliveryState,
  Forge,
  ForkPolicy,
  OverlapPolicy,
  TriggerConfigSchema,
  type DeliverySchema,
  type Schedule,
  type TriggerConfig as TriggerConfigProto,
  type TriggerSchema,
  type TriggerTokenSchema,
  type Webhook,
} from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import type { ForgeName, ScheduleConfig, TriggerConfig, WebhookConfig } from "../domain/trigger-config.ts";
import type { DeliveryRow, DeliveryState as State } from "../store/deliveries.ts";
import type { TriggerToken } from "../store/trigger-tokens.ts";
import type { TriggerRow, TriggerVersion } from "../store/triggers.ts";

const defaultCatchUp_ms = 3_600_000;

const forgeNames = {
  [Forge.FORGEJO]: "forgejo",
  [Forge.GITEA]: "gitea",
  [Forge.GITHUB]: "github",
  [Forge.GITLAB]: "gitlab",
  [Forge.GENERIC]: "generic",
} as const satisfies Partial<Record<Forge, ForgeName>>;
const forgeProtos: Record<ForgeName, Forge> = {
  forgejo: Forge.FORGEJO,
  gitea: Forge.GITEA,
  github: Forge.GITHUB,
  gitlab: Forge.GITLAB,
  generic: Forge.GENERIC,
};
const overlapNames = {
  [OverlapPolicy.UNSPECIFIED]: "skip",
  [OverlapPolicy.SKIP]: "skip",
  [OverlapPolicy.QUEUE]: "queue",
  [OverlapPolicy.CANCEL_OLDER]: "cancel_older",
} as const;
const overlapProtos: Record<ScheduleConfig["overlap"], OverlapPolicy> = {
  skip: OverlapPolicy.SKIP,
  queue: OverlapPolicy.QUEUE,
  cancel_older: OverlapPolicy.CANCEL_OLDER,
};
const stateProtos: Record<State, DeliveryState> = {
  waiting: DeliveryState.WAITING,
  started: DeliveryState.STARTED,
  refused: DeliveryState.REFUSED,
  failed: DeliveryState.FAILED,
};

/** A configuration as the contract has let it through. */
export function configFromProto(config: TriggerConfigProto): TriggerConfig {
  const { pipeline, ref, inputs, labels, priority, kind, report } = config;
  if (kind.case === undefined) throw new Error("the contract demands a kind");
  const source = kind.case === "webhook" ? webhookFromProto(kind.value) : scheduleFromProto(kind.value);
  const { apiUrl = "", commitStatus = false, comment = false, statusLabels = false } = report ?? {};
  const told = report && { report: { apiUrl, commitStatus, comment, statusLabels } };
  return { pipeline, ref, inputs, labels, priority, source, ...told };
}

function webhookFromProto(webhook: Webhook): WebhookConfig {
  const { events, actions, branches, tags, paths, authors, labels, agentLabels } = webhook;
  return {
    kind: "webhook",
    forge: forgeNames[webhook.forge as keyof typeof forgeNames],
    ...{ events, actions, branches, tags, paths, authors, labels, agentLabels },
    forks: webhook.forks === ForkPolicy.WITHOUT_SECRETS ? "without_secrets" : "refuse",
  };
}

function scheduleFromProto({ cron, timeZone, overlap, catchUp }: Schedule): ScheduleConfig {
  return {
    kind: "schedule",
    cron,
    timeZone: timeZone || "UTC",
    overlap: overlapNames[overlap as keyof typeof overlapNames],
    catchUp_ms: catchUp ? durationMs(catchUp) : defaultCatchUp_ms,
  };
}

/** As it may be shown: secrets are not part of it. */
export function configToProto({ source, report, ...rest }: TriggerConfig): TriggerConfigProto {
  const config = { ...rest, ...(report && { report }) };
  if (source.kind === "webhook") {
    const { kind, forge, forks, ...filters } = source;
    const policy = forks === "refuse" ? ForkPolicy.REFUSE : ForkPolicy.WITHOUT_SECRETS;
    const lists = Object.fromEntries(
      Object.entries(filters).map(([name, value]) => [name, Array.isArray(value) ? [...(value as string[])] : value]),
    );
    return create(TriggerConfigSchema, {
      ...config,
      kind: { case: kind, value: { ...lists, forge: forgeProtos[forge], forks: policy } },
    });
  }
  const { kind, cron, timeZone, overlap, catchUp_ms } = source;
  const value = { cron, timeZone, overlap: overlapProtos[overlap], catchUp: durationFromMs(catchUp_ms) };
  return create(TriggerConfigSchema, { ...config, kind: { case: kind, value } });
}

/** `version` is 0 where the trigger is off. */
export function toTriggerProto(
  row: TriggerRow,
  versions: readonly TriggerVersion[] = [],
): MessageInitShape<typeof TriggerSchema> {
  const { id, organizationId, projectId, projectName, name } = row;
  return {
    ...{ id, organizationId, projectId, projectName, name },
    version: row.enabled ? row.version : 0,
    config: configToProto(row.config),
    versions: versions.map(({ version, enabled, config, createdBy, createTime }) => ({
      ...{ version, enabled, createdBy },
      config: configToProto(config),
      createTime: timestampFromDate(createTime),
    })),
    hookPath: row.config.source.kind === "webhook" ? `/hooks/${id}` : "",
    ...(row.nextTime && { nextTime: timestampFromDate(row.nextTime) }),
    createTime: timestampFromDate(row.createTime),
    updateTime: timestampFromDate(row.updateTime),
  };
}

/** Without the payload, of which only the size is told. */
export function toDeliveryProto(row: DeliveryRow): MessageInitShape<typeof DeliverySchema> {
  const { id, triggerId, senderId, event, reason, tries, redeliveryOf } = row;
  return {
    ...{ id, triggerId, senderId, event, reason, tries, redeliveryOf },
    createTime: timestampFromDate(row.createTime),
    state: stateProtos[row.state],
    runId: row.state === "started" ? row.runId : "",
    payloadBytes: BigInt(row.payload_bytes),
  };
}

/** Without the token itself, which is shown once, when it is made. */
export function toTriggerTokenProto(token: TriggerToken): MessageInitShape<typeof TriggerTokenSchema> {
  const { id, projectId, name, createdBy, createTime, expireTime, useTime, revokeTime } = token;
  return {
    ...{ id, projectId, name, createdBy },
    createTime: timestampFromDate(createTime),
    ...(expireTime && { expireTime: timestampFromDate(expireTime) }),
    ...(useTime && { useTime: timestampFromDate(useTime) }),
    ...(revokeTime && { revokeTime: timestampFromDate(revokeTime) }),
  };
}
