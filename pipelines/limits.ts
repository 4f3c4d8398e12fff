/** A bound and what it bounds, for messages and documents. */
type Limit = Readonly<{ value: number; what: string }>;

const KiB = 1024;
const second_ms = 1000;
const day_ms = 86_400_000;

/** Every bound of the language, in one place; the reference lists them. Names end in their unit where it is not a count. */
export const limits = {
  file_bytes: { value: 256 * KiB, what: "bytes of a file" },
  nodes: { value: 20_000, what: "values in a file, with what its aliases stand for" },
  depth: { value: 32, what: "levels of values in a file" },
  graphItems: { value: 2000, what: "nodes, connections and executions of a graph, each" },
  headerLines: { value: 20, what: "first lines of a script, in which `# requires:` is read" },
  problems: { value: 100, what: "problems that are listed for a file" },
  inputs: { value: 100, what: "inputs" },
  choices: { value: 100, what: "choices of an input" },
  inputValue_bytes: { value: 8 * KiB, what: "bytes of an input's value" },
  jobs: { value: 500, what: "jobs of a file" },
  needs: { value: 100, what: "jobs that a job needs" },
  matrixAxes: { value: 8, what: "axes of a matrix" },
  axisValues: { value: 256, what: "values of an axis" },
  matrixValue_characters: { value: 128, what: "characters of a value of a matrix" },
  matrixRules: { value: 256, what: "entries of a matrix's `include`, and of its `exclude`" },
  matrixCells: { value: 256, what: "cells of a matrix, before `exclude` and after `include`" },
  plannedJobs: { value: 1000, what: "jobs of a run: the cells of all matrices" },
  plannedNeeds: { value: 50_000, what: "dependencies between the jobs of a run" },
  jobName_characters: { value: 200, what: "characters of a planned job's name; a longer one is cut" },
  name_characters: { value: 63, what: "characters of the name of a job, an input, an axis or an output" },
  displayName_characters: { value: 200, what: "characters of a pipeline's name" },
  envVariables: { value: 128, what: "variables of an `env`" },
  secrets: { value: 64, what: "secrets of a job" },
  outputs: { value: 64, what: "outputs of a job" },
  arguments: { value: 1024, what: "words of a `run` that is a list" },
  artifacts: { value: 64, what: "artifacts that a job uploads, and that it downloads" },
  artifactPaths: { value: 64, what: "paths of an artifact" },
  labels: { value: 64, what: "label requirements of a job" },
  labelKey_characters: { value: 128, what: "characters of a label's key" },
  labelValue_characters: { value: 256, what: "characters of a label's value, with its expressions" },
  labelValues: { value: 256, what: "values of a label requirement" },
  capabilities: { value: 64, what: "capabilities that a job requires" },
  resources: { value: 16, what: "resources that a job requires" },
  preferences: { value: 32, what: "preferences of a job" },
  retryReasons: { value: 3, what: "reasons for a retry" },
  retries: { value: 99, what: "retries of a job" },
  concurrency: { value: 1000, what: "jobs or runs of one concurrency group at a time" },
  priority: { value: 1000, what: "of a job's priority, above and below 0" },
  duration_ms: { value: 30 * day_ms, what: "a timeout, and a wait between retries" },
  lostAfter_ms: { value: 365 * day_ms, what: "`lost_after`" },
  retention_ms: { value: 365 * day_ms, what: "the retention of an artifact" },
  minimumDuration_ms: { value: second_ms, what: "a duration, at least" },
  text_bytes: { value: 64 * KiB, what: "bytes of a text, before and after its expressions are resolved" },
  group_characters: { value: 256, what: "characters of a concurrency group" },
  artifactName_characters: { value: 128, what: "characters of an artifact's name" },
  artifactPath_characters: { value: 1024, what: "characters of an artifact's path" },
  container_characters: { value: 512, what: "characters of a container's image" },
  description_characters: { value: 1000, what: "characters of a description" },
  argument_bytes: { value: 128 * KiB, what: "bytes of a word of a `run` that is a list" },
  expression_characters: { value: 4 * KiB, what: "characters of an expression" },
  expressionDepth: { value: 32, what: "levels of parentheses and calls in an expression" },
  expressionWork: { value: 1_000_000, what: "characters that one job's expressions may look at" },
} as const satisfies Record<string, Limit>;

/** The bound as an error names it: `the limit is 500 jobs of a file`. */
export function limitText(name: keyof typeof limits): string {
  const { value, what } = limits[name];
  return `the limit is ${value.toLocaleString("en-US")} ${what}`;
}
