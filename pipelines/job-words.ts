// The words inside a job that have words of their own. `words.ts` says what a file is made of.

import { limits } from "./limits.ts";
import {
  conflictPolicies,
  labelOperators,
  retryReasons,
  type ConflictPolicy,
  type RetryReason,
  type Value,
} from "./pipeline.ts";
import { quote } from "./problems.ts";
import type { YamlScalar } from "./read-yaml.ts";
import { boolean, characterFault, choice, duration, name, number, template, text } from "./scalar-shapes.ts";
import { as, byKind, kindText, list, located, map, openRecord, record, type Located, type Shape } from "./shapes.ts";

/** A cell's value: kept as it is written, or refused. */
const value: Shape<Value> = {
  what: "text, a number, or true or false",
  schema: { type: ["string", "number", "boolean"] },
  read(node, report) {
    const read = node.kind === "scalar" ? node.value : null;
    const isValue =
      typeof read === "string" || typeof read === "boolean" || (typeof read === "number" && Number.isFinite(read));
    if (!isValue || node.kind !== "scalar") {
      report.add(node, `is ${kindText(node)}: expected ${this.what}`);
      return undefined;
    }
    if (typeof read === "number" && String(read) !== node.source) {
      const hint = `as text it is written ${quote(node.source)}, as a number ${read}`;
      report.add(node, `${node.source} would become ${read}`, hint);
      return undefined;
    }
    const fault = typeof read === "string" ? valueFault(read) : undefined;
    if (fault !== undefined) report.add(node, fault);
    return fault === undefined ? read : undefined;
  },
};

function valueFault(read: string): string | undefined {
  if (read.length > limits.matrixValue_characters.value)
    return `too long: the limit is ${limits.matrixValue_characters.value} characters`;
  if (read.includes("${{")) return "${{ is not allowed: the cells of a matrix are known before the run";
  return characterFault(read, false);
}

const labelKey = text({
  what: "the key of a label: letters, digits, ., _, / and -, such as agyn/os",
  limit: "labelKey_characters",
  pattern: /^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/,
  noExpressions: "write a key",
});
const lowerName = (noun: string): Shape<string> =>
  text({
    what: `the name of ${noun}: lower-case letters, digits, ., _ and -`,
    limit: "name_characters",
    pattern: /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/,
    noExpressions: "write a name",
  });

const capabilityName = text({
  what: "the name of a capability: lower-case letters, digits, ., _, : and -",
  limit: "name_characters",
  pattern: /^[a-z0-9]([a-z0-9._:-]*[a-z0-9])?$/,
  noExpressions: "write a name",
});

const labelValue = template("the value of a label", "labelValue_characters");
export type LabelValues = readonly (Located<string> & { node: YamlScalar })[];
const labelValues: Shape<LabelValues> = byKind({
  scalar: as(labelValue, (one): LabelValues => [one]),
  list: list(labelValue, { max: "labelValues", min: 1 }),
});

const requirementWords = {
  key: { shape: labelKey, help: "the label", isRequired: true },
  operator: { shape: choice(labelOperators), help: "what of it is asked; `in` unless said" },
  values: {
    shape: located(labelValues),
    help: "its values; one number for `greater` and `less`, none for `exists` and `not_exists`",
  },
} as const;

const requirement = located(record("a label requirement", requirementWords));
const preference = located(
  record("a preference", {
    ...requirementWords,
    weight: { shape: number("a whole number from -100 to 100", -100, 100), help: "what it is worth; 1 unless said" },
  }),
);

export const requires = record(
  "requires",
  {
    labels: {
      shape: byKind<Labels>({
        map: as(map(labelKey, labelValues, "labels"), (entries): Labels => ({ kind: "pairs", entries })),
        list: as(list(requirement, { max: "labels" }), (items): Labels => ({ kind: "requirements", items })),
      }),
      help: "labels that the runner has: `os: linux`, `region: [us, eu]`, or a list of requirements",
    },
    capabilities: {
      shape: list(capabilityName, { max: "capabilities", identify: String }),
      help: "what it can do, such as docker",
    },
    executor: { shape: lowerName("an executor"), help: "the way of running the job; the server's default unless said" },
    resources: {
      shape: map(lowerName("a resource"), number("an amount: a number from 0", 0, 1e15, false), "resources"),
      help: "amounts the job takes while it runs; `slots` is 1 unless said",
    },
    prefer: {
      shape: list(preference, { max: "preferences" }),
      help: "wishes: among the runners that fit, those with the highest sum of weights are drawn from",
    },
  },
  new Map([["tags", "labels"]]),
);

/** Both ways of writing labels. */
export type Labels =
  | { kind: "pairs"; entries: readonly { key: string; value: LabelValues | undefined }[] }
  | { kind: "requirements"; items: readonly RequirementWords[] };
export type RequirementWords = NonNullable<ReturnType<typeof requirement.read>>;

/** What a job asks of a runner, as the file says. */
export type RequiresWords = NonNullable<ReturnType<typeof requires.read>>;

/** What a `concurrency` says, with its defaults worked in. */
export interface ConcurrencyWords {
  readonly group: (Located<string> & { node: YamlScalar }) | undefined;
  readonly limit: number;
  readonly onConflict: ConflictPolicy;
}

const group = template("the name of a concurrency group", "group_characters");
export const concurrency = byKind<ConcurrencyWords>({
  scalar: as(group, (only): ConcurrencyWords => ({ group: only, limit: 1, onConflict: "wait" })),
  map: as(
    record(
      "concurrency",
      {
        group: { shape: group, help: "what shares the limit", isRequired: true },
        limit: {
          shape: number(`a whole number from 1 to ${limits.concurrency.value}`, 1, limits.concurrency.value),
          help: "how many at a time; 1 unless said",
        },
        on_conflict: {
          shape: choice(conflictPolicies),
          help: "what a newcomer above the limit does: `wait` (unless said), or `cancel_older`",
        },
      },
      new Map([["cancel-in-progress", "on_conflict"]]),
    ),
    (words): ConcurrencyWords => ({
      group: words.group,
      limit: words.limit ?? 1,
      onConflict: words.on_conflict ?? "wait",
    }),
  ),
});

/** More tries, as the file says. */
export interface RetriesWords {
  readonly max?: number;
  readonly on?: readonly RetryReason[];
  readonly backoff?: number;
  readonly backoff_max?: Located<number>;
}

const retryReason = list(choice(retryReasons), { max: "retryReasons", min: 1, identify: String });
const retryCount = number(`a whole number from 0 to ${limits.retries.value}`, 0, limits.retries.value);
/** `retries` of a job: how many, or a map that also says after what and how soon. */
export const retries = byKind<RetriesWords>({
  scalar: as(retryCount, (max): RetriesWords => ({ max })),
  map: record("retries", {
    max: { shape: retryCount, help: "how many more tries", isRequired: true },
    on: { shape: retryReason, help: "after what; all three unless said" },
    backoff: {
      shape: duration("duration_ms", 0),
      help: "the wait before the first retry, doubled before each next one; none unless said",
    },
    backoff_max: { shape: located(duration()), help: "the longest wait; 1h unless said" },
  }),
});

const cell = located(map(name("an axis"), value, "matrixAxes"));
/** `matrix` of a job: its own words, and any other key as an axis with its values. */
export const matrix = openRecord({
  title: "matrix",
  words: {
    include: {
      shape: list(cell, { max: "matrixRules" }),
      help: "values added to the cells they agree with, or cells of their own",
    },
    exclude: { shape: list(cell, { max: "matrixRules" }), help: "cells left out: those that have all of these values" },
    max_parallel: {
      shape: number(`a whole number from 1 to ${limits.matrixCells.value}`, 1, limits.matrixCells.value),
      help: "how many of its jobs run at the same time; all unless said",
    },
    fail_fast: { shape: boolean(), help: "whether a failed job cancels the others of the matrix; true unless said" },
  },
  rest: map(name("an axis"), list(located(value), { max: "axisValues", min: 1 }), "matrixAxes"),
  restHelp: "any other word: an axis, and the list of its values",
});
