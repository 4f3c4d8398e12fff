import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Forge,
  ForkPolicy,
  OverlapPolicy,
  ReportBackSchema,
  TriggerConfigSchema,
  type TriggerConfig,
} from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import type { Options, OptionValues } from "./command-shape.ts";
import { parseDuration, toProtoDuration } from "./durations.ts";
import { UsageError } from "./failures.ts";
import { parseInteger, parsePairs } from "./requirements.ts";

const overlaps = { skip: OverlapPolicy.SKIP, queue: OverlapPolicy.QUEUE, "cancel-older": OverlapPolicy.CANCEL_OLDER };
const forks = { refuse: ForkPolicy.REFUSE, "without-secrets": ForkPolicy.WITHOUT_SECRETS };
/** Who delivers, by the word of `--webhook`. */
export const forgeWords = {
  forgejo: Forge.FORGEJO,
  gitea: Forge.GITEA,
  github: Forge.GITHUB,
  gitlab: Forge.GITLAB,
  generic: Forge.GENERIC,
};
export type ForgeWord = keyof typeof forgeWords;

/** What a configuration says, but for what the trigger is. */
export const triggerConfigOptions = {
  pipeline: { kind: "text", placeholder: "path", help: "the pipeline's file in the project's repository" },
  ref: { kind: "text", placeholder: "ref", help: "what runs where no commit is named (default: the project's own)" },
  input: {
    kind: "list",
    placeholder: "name=text",
    help: "input of the pipeline, such as 'who=${{ event.author }}'; repeatable",
  },
  runLabel: { kind: "list", placeholder: "key=value", help: "label of the runs; repeatable" },
  priority: {
    kind: "parsed",
    placeholder: "n",
    parse: parseInteger("priority", -1000, 1000),
    help: "added to each job's priority",
  },
  on: { kind: "list", placeholder: "event", help: "push, tag, pull_request, issues, … (default: push); repeatable" },
  action: { kind: "list", placeholder: "action", help: "opened, synchronized, …; repeatable" },
  branch: { kind: "list", placeholder: "pattern", help: "only these branches, such as 'release/*'; repeatable" },
  tag: { kind: "list", placeholder: "pattern", help: "only these tags, such as 'v*'; repeatable" },
  path: { kind: "list", placeholder: "pattern", help: "only pushes that touch such files, as 'src/**'; repeatable" },
  author: { kind: "list", placeholder: "user", help: "only what this user of the forge did; repeatable" },
  label: { kind: "list", placeholder: "label", help: "only issues and pull requests with this label; repeatable" },
  forks: {
    kind: "text",
    placeholder: "policy",
    choices: ["refuse", "without-secrets"],
    help: "what a fork's pull request may do (default: refuse)",
  },
  agentLabels: { kind: "flag", help: "take an issue's agent: labels as capabilities that its jobs require" },
  reportApi: {
    kind: "text",
    placeholder: "url",
    help: "the forge's API, which is told of the runs; see set-credential",
  },
  reportStatus: { kind: "flag", help: "tell it by the commit's status" },
  reportComment: { kind: "flag", help: "tell it by one comment, which is edited as the run goes on" },
  reportLabels: { kind: "flag", help: "tell it by a label of the issue: status:doing, status:done, status:failed" },
  timezone: { kind: "text", placeholder: "zone", help: "of a schedule, such as Europe/Berlin (default: UTC)" },
  overlap: {
    kind: "text",
    placeholder: "policy",
    choices: ["skip", "queue", "cancel-older"],
    help: "of a schedule whose run before is live (default: skip)",
  },
  catchUp: {
    kind: "parsed",
    placeholder: "duration",
    parse: parseDuration,
    help: "for how long a missed time of a schedule is made up for (default: 1h)",
  },
} as const satisfies Options;

export type TriggerConfigValues = OptionValues<typeof triggerConfigOptions>;
type Kind = { webhook: ForgeWord } | { cron: string };

const ofWebhooks = [
  "on",
  "action",
  "branch",
  "tag",
  "path",
  "author",
  "label",
  "forks",
  "agentLabels",
  "reportApi",
] as const;
const ofSchedules = ["timezone", "overlap", "catchUp"] as const;

/** The configuration of a new trigger. */
export function newTriggerConfig(
  kind: Kind,
  values: TriggerConfigValues,
): MessageInitShape<typeof TriggerConfigSchema> {
  if (values.pipeline === undefined) throw new UsageError("give --pipeline: the file to run");
  const config = create(TriggerConfigSchema, {
    kind:
      "webhook" in kind
        ? { case: "webhook", value: { forge: forgeWords[kind.webhook] } }
        : { case: "schedule", value: { cron: kind.cron } },
  });
  return changedTriggerConfig(config, values);
}

/** A configuration with what the options say in place of what it said. */
export function changedTriggerConfig(config: TriggerConfig, values: TriggerConfigValues): TriggerConfig {
  const { pipeline, ref, input, runLabel, priority } = values;
  const changed = { ...config };
  if (pipeline !== undefined) changed.pipeline = pipeline;
  if (ref !== undefined) changed.ref = ref;
  if (input.length > 0) changed.inputs = parsePairs("input", input);
  if (runLabel.length > 0) changed.labels = parsePairs("label", runLabel);
  if (priority !== undefined) changed.priority = priority;
  const { reportApi, reportStatus, reportComment, reportLabels } = values;
  if (reportApi !== undefined || reportStatus || reportComment || reportLabels) {
    const apiUrl = reportApi ?? config.report?.apiUrl;
    if (apiUrl === undefined) throw new UsageError("give --report-api: where the forge's API is");
    const before = config.report ?? { commitStatus: false, comment: false, statusLabels: false };
    changed.report = create(ReportBackSchema, {
      apiUrl,
      commitStatus: reportStatus || before.commitStatus,
      comment: reportComment || before.comment,
      statusLabels: reportLabels || before.statusLabels,
    });
  }
  const isWebhook = changed.kind.case === "webhook";
  refuseForeign(values, isWebhook ? ofSchedules : ofWebhooks, isWebhook ? "a schedule" : "a webhook");
  changed.kind = changedKind(changed.kind, values);
  return changed;
}

function changedKind(kind: TriggerConfig["kind"], values: TriggerConfigValues): TriggerConfig["kind"] {
  if (kind.case === "webhook") {
    const pick = (given: readonly string[], current: readonly string[]) => [...(given.length > 0 ? given : current)];
    const { value } = kind;
    const policy = values.forks as keyof typeof forks | undefined;
    return {
      case: "webhook",
      value: {
        ...value,
        events: pick(values.on, value.events),
        actions: pick(values.action, value.actions),
        branches: pick(values.branch, value.branches),
        tags: pick(values.tag, value.tags),
        paths: pick(values.path, value.paths),
        authors: pick(values.author, value.authors),
        labels: pick(values.label, value.labels),
        forks: policy === undefined ? value.forks : forks[policy],
        agentLabels: values.agentLabels || value.agentLabels,
      },
    };
  }
  if (kind.case !== "schedule") return kind;
  const overlap = values.overlap as keyof typeof overlaps | undefined;
  return {
    case: "schedule",
    value: {
      ...kind.value,
      timeZone: values.timezone ?? kind.value.timeZone,
      overlap: overlap === undefined ? kind.value.overlap : overlaps[overlap],
      ...(values.catchUp !== undefined && { catchUp: toProtoDuration(values.catchUp) }),
    },
  };
}

function refuseForeign(values: TriggerConfigValues, names: readonly (keyof TriggerConfigValues)[], noun: string): void {
  const isGiven = (value: unknown) =>
    Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  const foreign = names.find((name) => isGiven(values[name]));
  if (foreign === undefined) return;
  const flag = foreign.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UsageError(`--${flag} is for ${noun}`);
}
