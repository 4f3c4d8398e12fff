import { toArtifacts } from "./job-artifacts.ts";
import { toRequires } from "./job-requirements.ts";
import type { ConcurrencyWords, RetriesWords } from "./job-words.ts";
import {
  retryReasons,
  type Concurrency,
  type JobCommand,
  type JobDefinition,
  type MatrixCell,
  type Retries,
  type Text,
} from "./pipeline.ts";
import type { Entry } from "./shapes.ts";
import type { JobWords, TextWords } from "./words.ts";

/** What a job is unless its file says otherwise. */
export function plainJob(name: string, command: JobCommand): JobDefinition {
  return {
    name,
    needs: [],
    if: null,
    matrix: null,
    requires: toRequires(undefined),
    command,
    container: null,
    env: {},
    secrets: {},
    timeout_ms: null,
    queueTimeout_ms: null,
    retries: null,
    lostAfter_ms: null,
    priority: 0,
    concurrency: null,
    artifacts: toArtifacts(undefined),
    outputs: [],
  };
}

/** A job from words without problems. */
export function toJob(name: string, words: JobWords, cells: readonly MatrixCell[] | undefined): JobDefinition {
  const { max_parallel: maxParallel = null, fail_fast: failFast = true } = words.matrix?.value ?? {};
  return {
    ...plainJob(name, toCommand(words)),
    needs: (words.needs ?? []).map(({ value }) => value),
    if: words.if?.value ?? null,
    matrix: cells === undefined ? null : { cells, maxParallel, failFast },
    requires: toRequires(words.requires),
    container: words.container?.value ?? null,
    env: toTexts(words.env ?? []),
    secrets: Object.fromEntries(words.secrets ?? []),
    timeout_ms: words.timeout ?? null,
    queueTimeout_ms: words.queue_timeout ?? null,
    retries: toRetries(words.retries),
    lostAfter_ms: words.lost_after ?? null,
    priority: words.priority ?? 0,
    concurrency: toConcurrency(words.concurrency),
    artifacts: toArtifacts(words.artifacts),
    outputs: words.outputs ?? [],
  };
}

function toCommand({ run, shell }: JobWords): JobCommand {
  if (run?.value.kind === "argv") return run.value;
  return { kind: "script", text: run?.value.text ?? "", shell: shell?.value ?? "sh" };
}

const longestBackoff_ms = 3_600_000;

function toRetries(words: RetriesWords | undefined): Retries | null {
  if (words?.max === undefined) return null;
  const { max, on = retryReasons, backoff: backoff_ms = 0, backoff_max: longest } = words;
  return { max, on, backoff_ms, maximumBackoff_ms: longest?.value ?? Math.max(backoff_ms, longestBackoff_ms) };
}

/** The group with its limit, from words without problems; null where no group is named. */
export function toConcurrency(words: ConcurrencyWords | undefined): Concurrency<Text> | null {
  if (words?.group === undefined) return null;
  return { group: words.group.value, limit: words.limit, onConflict: words.onConflict };
}

/** A map of texts by key; one without a value is empty. */
export function toTexts(entries: readonly Entry<TextWords>[]): Record<string, Text> {
  return Object.fromEntries(entries.map(({ key, value }) => [key, value?.value ?? ""]));
}
