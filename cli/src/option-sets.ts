import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DemandSchema } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import type { ServiceTokenOptionsSchema } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import type { Option, Options, OptionValues } from "./command-shape.ts";
import { parseDuration, toProtoDuration } from "./durations.ts";
import { parseAmounts, parseInteger, parsePreference, parseRequirement } from "./requirements.ts";

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

export const yesOption = { kind: "flag", short: "y", help: "do not ask" } as const satisfies Option;

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
