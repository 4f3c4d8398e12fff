import type { MessageInitShape } from "@bufbuild/protobuf";
import type { QueueFilterSchema } from "../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import type { RunFilterSchema } from "../../proto/gen/agyn/runs/v1/runs_service_pb.ts";
import type { DemandSchema } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import type { ServiceTokenOptionsSchema } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import type { Option, Options, OptionValues } from "./command-shape.ts";
import { parseDuration, toProtoDuration } from "./durations.ts";
import { parseAmounts, parseInteger, parsePairs, parsePreference, parseRequirement } from "./requirements.ts";
import { runStates } from "./views/run.ts";

export const limitOption = {
  kind: "parsed",
  placeholder: "n",
  parse: parseInteger("limit", 1, 1_000_000),
  help: "show at most so many (default: 1000)",
} as const satisfies Option;

export const labelFilterOption = {
  kind: "list",
  short: "l",
  placeholder: "key=value",
  help: "only those with this label; repeatable",
} as const satisfies Option;

export const reasonOption = {
  kind: "text",
  placeholder: "text",
  help: "why, for everybody who sees it",
} as const satisfies Option;

export const artifactArgument = {
  kind: "required",
  help: "the artifact: its id, <run>/<name>, or <run>/<job>/<name>",
} as const;

export const graceOption = {
  kind: "parsed",
  placeholder: "duration",
  parse: parseDuration,
  help: "between SIGTERM and SIGKILL (default: each job's own)",
} as const satisfies Option;

export const dryRunOption = { kind: "flag", help: "only say what would be cancelled" } as const satisfies Option;

export const idempotencyKeyOption = {
  kind: "text",
  placeholder: "key",
  help: "the same key with the same request starts once",
} as const satisfies Option;

export const attemptOption = {
  kind: "parsed",
  placeholder: "n",
  parse: parseInteger("attempt", 1, 10_000),
  help: "of this attempt (default: the last)",
} as const satisfies Option;

export const yesOption = { kind: "flag", short: "y", help: "do not ask" } as const satisfies Option;

export const secretProjectOption = {
  kind: "text",
  placeholder: "project",
  help: "of this project, by id or name (default: of the whole organization)",
} as const satisfies Option;

/** What a workload asks of a runner. */
export const demandOptions = {
  require: {
    kind: "list",
    placeholder: "requirement",
    help: "condition on labels, such as 'region in (us,eu)', 'gpu exists', '!spot', 'mem>16'; repeatable",
  },
  prefer: { kind: "list", placeholder: "requirement:weight", help: "wish, such as 'zone=a:10'; repeatable" },
  capability: { kind: "list", placeholder: "name", help: "capability the runner must have; repeatable" },
  executor: { kind: "text", placeholder: "name", help: "what runs it (default: process)" },
  slots: {
    kind: "parsed",
    placeholder: "n",
    parse: parseInteger("slots", 0, 1_000_000),
    help: "slots it takes (default: 1)",
  },
  resource: { kind: "list", placeholder: "name=amount", help: "other capacity it takes, such as cpu=2; repeatable" },
} as const satisfies Options;

/** The demand that the options say. */
export function toDemand(options: OptionValues<typeof demandOptions>): MessageInitShape<typeof DemandSchema> {
  const slots = options.slots === undefined ? {} : { slots: options.slots };
  return {
    requirements: options.require.map(parseRequirement),
    preferences: options.prefer.map(parsePreference),
    capabilities: [...options.capability],
    executor: options.executor ?? "",
    resources: { ...parseAmounts(options.resource), ...slots },
  };
}

/** How a service token may be used, and where it is written. */
export const serviceTokenOptions = {
  tokenFile: {
    kind: "text",
    placeholder: "file",
    help: "write the service token to this new file (0600) instead of showing it",
  },
  tokenUses: {
    kind: "parsed",
    placeholder: "n",
    parse: parseInteger("token uses", 1, 1_000_000),
    help: "how many enrollments the token serves (default: any number)",
  },
  tokenLifetime: {
    kind: "parsed",
    placeholder: "duration",
    parse: parseDuration,
    help: "how long the token may be used (default: for ever)",
  },
  tokenSource: { kind: "list", placeholder: "cidr", help: "addresses from which the token may be used; repeatable" },
} as const satisfies Options;

export function toServiceTokenOptions(
  options: Omit<OptionValues<typeof serviceTokenOptions>, "tokenFile">,
): MessageInitShape<typeof ServiceTokenOptionsSchema> {
  return {
    maximumUses: options.tokenUses ?? 0,
    lifetime: options.tokenLifetime === undefined ? undefined : toProtoDuration(options.tokenLifetime),
    sourceCidrs: [...options.tokenSource],
  };
}

/** What a project is; where it is created, what is not given has the server's default. */
export const projectOptions = {
  source: { kind: "text", placeholder: "url", help: "git repository with its pipelines and sources" },
  ref: { kind: "text", placeholder: "ref", help: "branch, tag or commit of runs that name none" },
  weight: {
    kind: "parsed",
    placeholder: "n",
    parse: parseInteger("weight", 1, 1000),
    help: "its share beside other projects where runners are short (default: 1)",
  },
  maxRunning: {
    kind: "parsed",
    placeholder: "n",
    parse: parseInteger("running jobs", 0, 1_000_000),
    help: "at most so many of its jobs run at once; 0: any number",
  },
  retentionDays: {
    kind: "parsed",
    placeholder: "n",
    parse: parseInteger("days", 0, 36_500),
    help: "how many days its ended runs stay; 0: the server's default",
  },
} as const satisfies Options;

const projectFilterOption = {
  kind: "text",
  placeholder: "project",
  help: "only those of this project",
} as const satisfies Option;

const pipelineFilterOption = {
  kind: "text",
  placeholder: "path",
  help: "only those of this pipeline, such as pipelines/build.yaml",
} as const satisfies Option;

/** Which runs. */
export const runFilterOptions = {
  project: projectFilterOption,
  label: labelFilterOption,
  state: {
    kind: "list",
    placeholder: "state",
    choices: Object.keys(runStates),
    help: "only those in this state; repeatable",
  },
  pipeline: pipelineFilterOption,
} as const satisfies Options;

/** The filter of a request, for the runs that all given options match. */
export function toRunFilter({ project, label, state, pipeline }: OptionValues<typeof runFilterOptions>) {
  return {
    project: project ?? "",
    labels: parsePairs("label", label),
    states: Object.entries(runStates).flatMap(([word, value]) => (state.includes(word) ? [value] : [])),
    pipeline: pipeline ?? "",
  } satisfies MessageInitShape<typeof RunFilterSchema>;
}

/** What a webhook hears. */
export const webhookFilterOptions = {
  event: {
    kind: "list",
    placeholder: "type",
    help: "only of this type, such as run.failed, job.* or *.failed; repeatable (default: all)",
  },
  label: {
    kind: "list",
    short: "l",
    placeholder: "key=value",
    help: "only of runs, jobs or runners with this label; repeatable",
  },
} as const satisfies Options;

/** Which queued jobs. */
export const queueFilterOptions = {
  project: projectFilterOption,
  label: labelFilterOption,
  pipeline: pipelineFilterOption,
  verdict: {
    kind: "text",
    placeholder: "verdict",
    choices: ["never", "unavailable", "full"],
    help: "only those that wait for this: no runner ever, one that is away, or room",
  },
} as const satisfies Options;

/**
 * The filter of a request, for the jobs that all given options match; throws a usage error that names a label which is no
 * `key=value`.
 */
export function toQueueFilter({ project, label, pipeline, verdict }: OptionValues<typeof queueFilterOptions>) {
  return {
    project: project ?? "",
    labels: parsePairs("label", label),
    pipeline: pipeline ?? "",
    verdict: verdict ?? "",
  } satisfies MessageInitShape<typeof QueueFilterSchema>;
}
