// The words of a pipeline file. The parser, the JSON Schema for editors and the reference are all made from what stands here and
// in `job-words.ts`.

import { concurrency, matrix, requires, retries } from "./job-words.ts";
import { limits } from "./limits.ts";
import { inputTypes, scriptShells } from "./pipeline.ts";
import type { YamlScalar } from "./read-yaml.ts";
import { boolean, choice, duration, name, number, template, text } from "./scalar-shapes.ts";
import { as, byKind, kindText, list, located, map, record, type Located, type Shape } from "./shapes.ts";

/** What the shell, the runner and the server set themselves. */
const ownVariables = "BASHOPTS|BASH_VERSINFO|EUID|LINENO|OPTIND|PPID|SHELLOPTS|UID|__proto__|AGYN_[A-Za-z0-9_]*";

const variableName = text({
  what: "the name of a variable that is free to set: letters, digits and _, the first no digit, and not AGYN_",
  limit: "displayName_characters",
  pattern: new RegExp(`^(?!(?:${ownVariables})$)[A-Za-z_][A-Za-z0-9_]*$`),
  noExpressions: "write a name",
});

const env = map(variableName, template("text"), "envVariables");

/** A text of an input: a default or a choice, whatever the type; which is checked with it. */
const inputText: Shape<Located<string | number | boolean>> = {
  what: "text, a number, or true or false",
  schema: { type: ["string", "number", "boolean"] },
  read(node, report) {
    const value = node.kind === "scalar" ? node.value : null;
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return { value, node };
    report.add(node, `is ${kindText(node)}: expected ${this.what}`);
    return undefined;
  },
};

const input = record(
  "an input",
  {
    type: {
      shape: located(choice(inputTypes)),
      help: "what it is; `string` unless said, `choice` where there are choices",
    },
    description: {
      shape: text({ what: "text", limit: "description_characters", hasLines: true, noExpressions: "write plain text" }),
      help: "for whoever starts a run",
    },
    default: { shape: inputText, help: "its value where none is given" },
    choices: {
      shape: located(
        list(text({ what: "text", limit: "displayName_characters" }), { max: "choices", min: 1, identify: String }),
      ),
      help: "the only values of a `choice`",
    },
    required: { shape: located(boolean()), help: "whether a run cannot start without it; false unless said" },
  },
  new Map([["options", "choices"]]),
);

const artifactName = template("the name of an artifact", "artifactName_characters");
const artifactPath = text({
  what: "a path inside the workspace, which may hold * and **: no leading /, no ..",
  limit: "artifactPath_characters",
  pattern: /^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$))(?!.*\\).+$/,
  noExpressions: "the script can write to a path that is always the same",
});

const artifacts = record("artifacts", {
  upload: {
    shape: list(
      record("an upload", {
        name: { shape: artifactName, help: "what others download it by", isRequired: true },
        paths: {
          shape: byKind({
            scalar: as(artifactPath, (path) => [path]),
            list: list(artifactPath, { max: "artifactPaths", min: 1 }),
          }),
          help: "files and directories, with * for any characters of a name and ** for any directories",
          isRequired: true,
        },
        retention: { shape: duration("retention_ms"), help: "how long it is kept; as long as the run unless said" },
      }),
      { max: "artifacts" },
    ),
    help: "what is kept of the workspace when the job has ended",
  },
  download: {
    shape: list(artifactName, { max: "artifacts" }),
    help: "artifacts of jobs before this one, as `name` or `job/name`, put into the workspace first",
  },
});

const jobName = name("a job");
const needed = located(jobName);
type Needed = readonly Located<string>[];

const never = choice(["never"]);
const lostAfter: Shape<number | "never"> = {
  ...byKind<number | "never">({ scalar: duration("lostAfter_ms") }),
  what: "a duration such as 10m, or never",
  read: (node, report) =>
    node.kind === "scalar" && node.value === "never" ? "never" : duration("lostAfter_ms").read(node, report),
  schema: { anyOf: [duration("lostAfter_ms").schema, never.schema] },
};

const runHint = "put the value in the job's `env`, and use the variable in the script";
const script = text({ what: "a script", limit: "file_bytes", hasLines: true, noExpressions: runHint });
const argument = text({ what: "a word", limit: "argument_bytes", hasLines: true, noExpressions: runHint });

/** A script, or words. */
export type RunWords = { kind: "script"; text: string } | { kind: "argv"; arguments: readonly string[] };

const secretName = text({
  what: "the name of a secret: letters, digits and _, the first no digit",
  limit: "displayName_characters",
  pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
  noExpressions: "secrets are named before the run",
});
type SecretPair = readonly [variable: string, secret: string];

const priority = number(
  `a whole number from -${limits.priority.value} to ${limits.priority.value}`,
  -limits.priority.value,
  limits.priority.value,
);

const job = record(
  "a job",
  {
    needs: {
      shape: byKind<Needed>({
        scalar: as(needed, (one): Needed => [one]),
        list: list(needed, { max: "needs", identify: ({ value }) => value }),
      }),
      help: "jobs that must end before this one starts",
    },
    if: {
      shape: template("a condition", "expression_characters"),
      help: "whether it runs once they have ended; `success()` unless said",
    },
    matrix: { shape: located(matrix), help: "one job for each combination of the axes' values" },
    requires: { shape: requires, help: "what it asks of a runner" },
    run: {
      shape: located(
        byKind<RunWords>({
          scalar: as(script, (source): RunWords => ({ kind: "script", text: source })),
          list: as(list(argument, { max: "arguments", min: 1 }), (words): RunWords => ({
            kind: "argv",
            arguments: words,
          })),
        }),
      ),
      help: "the script; or a list: a program and its arguments, executed without a shell. `${{ }}` is not allowed in it: values reach it by `env`",
      isRequired: true,
    },
    shell: {
      shape: located(choice(scriptShells)),
      help: "what interprets the script; `sh` unless said; it ends at the first command that fails",
    },
    container: { shape: template("the image of a container", "container_characters"), help: "the image to run it in" },
    env: { shape: env, help: "variables of its environment, besides the pipeline's" },
    secrets: {
      shape: byKind<readonly SecretPair[]>({
        list: as(list(variableName, { max: "secrets", identify: String }), (names) =>
          names.map((one): SecretPair => [one, one]),
        ),
        map: as(map(variableName, secretName, "secrets"), (entries) =>
          entries.flatMap(({ key, value }): SecretPair[] => (value === undefined ? [] : [[key, value]])),
        ),
      }),
      help: "secrets it gets as variables: a list of names, or variable: name of the secret",
    },
    timeout: { shape: duration(), help: "how long it may run" },
    queue_timeout: { shape: duration(), help: "how long it may wait for a runner" },
    retries: { shape: retries, help: "how many more tries, or when and how" },
    lost_after: { shape: lostAfter, help: "how long its runner may be out of reach before the job counts as lost" },
    priority: { shape: priority, help: "jobs of a higher one are placed first; 0 unless said" },
    concurrency: { shape: concurrency, help: "a group that limits how many run at a time, or its name" },
    artifacts: { shape: artifacts, help: "files kept of it, and files it gets" },
    outputs: {
      shape: list(name("an output"), { max: "outputs", identify: String }),
      help: "names that its script may set by writing `name=value` lines to the file `$AGYN_OUTPUT`",
    },
  },
  new Map([
    ["runs-on", "requires"],
    ["tags", "requires"],
    ["labels", "requires"],
    ["steps", "run"],
    ["script", "run"],
    ["commands", "run"],
    ["command", "run"],
    ["image", "container"],
    ["strategy", "matrix"],
    ["parallel", "matrix"],
    ["depends_on", "needs"],
    ["stage", "needs"],
    ["when", "if"],
    ["rules", "if"],
    ["only", "if"],
    ["environment", "env"],
    ["variables", "env"],
    ["timeout-minutes", "timeout"],
    ["resource_group", "concurrency"],
  ]),
);

/** A job as the file says it. */
export type JobWords = NonNullable<ReturnType<typeof job.read>>;

/** The whole file. */
export const pipelineShape = record(
  "a pipeline",
  {
    name: {
      shape: text({ what: "text", limit: "displayName_characters", noExpressions: "write plain text" }),
      help: "what people call it; the file's name unless said",
    },
    inputs: { shape: map(name("an input"), input, "inputs"), help: "what a run can be started with" },
    env: { shape: env, help: "variables of every job's environment" },
    timeout: { shape: duration(), help: "how long a run may take" },
    concurrency: { shape: concurrency, help: "a group that limits how many runs there are at a time, or its name" },
    jobs: { shape: map(jobName, job, "jobs"), help: "what a run does", isRequired: true },
  },
  new Map([
    ["on", "a trigger of the project, which is not written in the file"],
    ["stages", "jobs"],
    ["steps", "jobs"],
    ["variables", "env"],
  ]),
);

/** A file as it is written, problems left out. */
export type PipelineWords = NonNullable<ReturnType<typeof pipelineShape.read>>;
/** One of `inputs`, as it is written. */
export type InputWords = NonNullable<ReturnType<typeof input.read>>;
/** `artifacts` of a job, as they are written. */
export type ArtifactsWords = NonNullable<ReturnType<typeof artifacts.read>>;
/** A text that may hold expressions, with the scalar it stands in, which tells where a fault of them is. */
export type TextWords = Located<string> & { readonly node: YamlScalar };
