// What a pipeline says, as plain data: stored as JSON and read again by servers of other versions.
//
// A file becomes a `Pipeline` (`parse-pipeline.ts`), given texts become the values of its inputs (`resolve-inputs.ts`), the
// two become the jobs of a run (`plan-jobs.ts`), and a job whose needs have ended learns whether and with what it runs
// (`evaluate-job.ts`). Nothing here has a clock, reads a file or draws a random number.

/** Raised when a reader of an older version could misunderstand what is stored. */
export const pipelineVersion = 1;

/** A text that may hold `${{ expression }}`; resolved when the job's needs have ended. */
export type Text = string;

/** `act` is a graph for the graph engine: one job, whose command is the file. */
export type PipelineKind = "yaml" | "script" | "act";

/** Durations are whole milliseconds; `null` is what the file does not say. */
export type Pipeline = Readonly<{
  version: typeof pipelineVersion;
  kind: PipelineKind;
  /** What the file calls itself, else its name without folders and ending. */
  name: string;
  inputs: readonly InputDefinition[];
  env: Readonly<Record<string, Text>>;
  timeout_ms: number | null;
  concurrency: Concurrency<Text> | null;
  /** In the order of the file; names are unique. */
  jobs: readonly JobDefinition[];
}>;

export const inputTypes = ["string", "number", "boolean", "choice"] as const;
export type InputType = (typeof inputTypes)[number];

/** `string`, `number` or `boolean`: what an input, or a cell of a matrix, can be. */
export type Value = string | number | boolean;

export type InputDefinition = Readonly<{
  name: string;
  type: InputType;
  description: string;
  required: boolean;
  /** Of the input's type; where there is none, an input that is not given is "", 0, false or the first choice. */
  default: Value | null;
  /** Of a `choice`, at least one; else none. */
  choices: readonly string[];
}>;

export type JobDefinition = Readonly<{
  name: string;
  /** Names of other definitions. */
  needs: readonly string[];
  /** An expression, with or without `${{ }}` around it; `null` is `success()`. */
  if: string | null;
  matrix: Matrix | null;
  requires: Requires<Text>;
  command: JobCommand;
  container: Text | null;
  env: Readonly<Record<string, Text>>;
  /** Environment variable → name of the secret whose value it gets. */
  secrets: Readonly<Record<string, string>>;
  timeout_ms: number | null;
  queueTimeout_ms: number | null;
  retries: Retries | null;
  lostAfter_ms: number | "never" | null;
  /** −1000 to 1000; 0 unless said. */
  priority: number;
  concurrency: Concurrency<Text> | null;
  artifacts: Artifacts<Text>;
  /** Names that the job may write as `name=value` lines to the file `$AGYN_OUTPUT`. */
  outputs: readonly string[];
}>;

export const scriptShells = ["sh", "bash", "node", "python3"] as const;
export type ScriptShell = (typeof scriptShells)[number];

/** A script for an interpreter, words that are executed as given, or a graph for the graph engine. */
export type JobCommand = Readonly<
  | { kind: "script"; text: string; shell: ScriptShell }
  | { kind: "argv"; arguments: readonly string[] }
  | { kind: "graph"; text: string }
>;

/** One job for each cell. The cells are listed: axes, `include` and `exclude` are already worked in. */
export type Matrix = Readonly<{
  cells: readonly MatrixCell[];
  /** Jobs of this definition that run at the same time. */
  maxParallel: number | null;
  /** A failed cell cancels the others. */
  failFast: boolean;
}>;

/** Axis → value. */
export type MatrixCell = Readonly<Record<string, Value>>;

export const labelOperators = ["in", "not_in", "exists", "not_exists", "greater", "less"] as const;
export type LabelOperator = (typeof labelOperators)[number];

/** A condition on a runner's labels. `exists` and `not_exists` have no values, `greater` and `less` one number. */
export type LabelRequirement<T> = Readonly<{ key: string; operator: LabelOperator; values: readonly T[] }>;

/** What the job asks of a runner; `T` is `Text` in a definition, and a string once resolved. */
export type Requires<T> = Readonly<{
  labels: readonly LabelRequirement<T>[];
  capabilities: readonly string[];
  /** `null` is the server's default. */
  executor: string | null;
  /** Amounts in the units that the runners declare; `slots` is 1 unless said. */
  resources: Readonly<Record<string, number>>;
  prefer: readonly Readonly<{ requirement: LabelRequirement<T>; weight: number }>[];
}>;

export const retryReasons = ["failed", "lost", "timed_out"] as const;
export type RetryReason = (typeof retryReasons)[number];

/** `max` more tries after the first; the wait doubles from `backoff_ms` to `maximumBackoff_ms`. */
export type Retries = Readonly<{
  max: number;
  on: readonly RetryReason[];
  backoff_ms: number;
  maximumBackoff_ms: number;
}>;

export const conflictPolicies = ["wait", "cancel_older"] as const;
export type ConflictPolicy = (typeof conflictPolicies)[number];

/** At most `limit` of the same group at a time. */
export type Concurrency<T> = Readonly<{ group: T; limit: number; onConflict: ConflictPolicy }>;

export type Artifacts<T> = Readonly<{
  upload: readonly Readonly<{ name: T; paths: readonly string[]; retention_ms: number | null }>[];
  /** Of the job definition `job`, else of whichever job before this one has uploaded it. */
  download: readonly Readonly<{ job: string | null; name: T }>[];
}>;

/** Something wrong with what was given: where (dotted, such as `jobs.test.env.CI`), what, and what to do about it. */
export type Problem = Readonly<{ path: string; message: string; hint?: string }>;

/** Something wrong with a file; lines and columns count from 1, columns in UTF-16 units. */
export type FileProblem = Problem & Readonly<{ line: number; column: number }>;

/** Input → value, of the input's type. */
export type InputValues = Readonly<Record<string, Value>>;

/** What an expression knows of the run. */
export type RunContext = Readonly<{
  number: number;
  attempt: number;
  ref: string;
  commit: string;
  /** What started the run, such as `manual` or a trigger's name. */
  trigger: string;
  /** What the trigger was sent: any JSON, or `null`. */
  event: unknown;
}>;

/** A job of a run: a definition and a cell of its matrix. */
export type PlannedJob = Readonly<{
  /** Unique in the run, for people: `test (linux, 20)`. */
  name: string;
  /** The definition's name. */
  key: string;
  definition: JobDefinition;
  /** Empty without a matrix. */
  matrix: MatrixCell;
  /** Names of planned jobs. */
  needs: readonly string[];
}>;

/** The jobs of a run, in the order of the file, and the group the run itself belongs to. */
export type Plan = Readonly<{ jobs: readonly PlannedJob[]; concurrency: Concurrency<string> | null }>;

/** Why a job is skipped: its own condition, or what became of the jobs it needs. `needs_cancelled` is also said of a cancelled run. */
export type SkipCause = "condition" | "needs_failed" | "needs_cancelled" | "needs_skipped";

/** A planned job that was needed and has ended. `cause` is that of its own evaluation where it is skipped, else `null`. */
export type EndedJob = Readonly<{
  key: string;
  state: "succeeded" | "failed" | "cancelled" | "skipped";
  cause: SkipCause | null;
  outputs: Readonly<Record<string, string>>;
}>;

/** What `evaluateJob` goes by. */
export type JobContext = Readonly<{
  inputs: InputValues;
  run: RunContext;
  /** The pipeline's, unresolved. */
  env: Readonly<Record<string, Text>>;
  /** Every planned job that this one needs. */
  needs: readonly EndedJob[];
  /** Whether the run was asked to stop. */
  cancelled: boolean;
}>;

/** A job with every text resolved. */
export type ResolvedJob = Readonly<{
  /** The pipeline's and the job's. */
  env: Readonly<Record<string, string>>;
  secrets: Readonly<Record<string, string>>;
  container: string | null;
  concurrency: Concurrency<string> | null;
  artifacts: Artifacts<string>;
  requires: Requires<string>;
}>;

/** What follows for a job whose needs have ended; `problems` fail the job. `reason` is for people. */
export type JobEvaluation = Readonly<
  | { kind: "run"; reason: string; job: ResolvedJob }
  | { kind: "skip"; reason: string; cause: SkipCause }
  | { kind: "problems"; problems: readonly Problem[] }
>;
