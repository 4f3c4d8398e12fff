import type { Readable } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  EnvironmentVariableSchema,
  LossPolicySchema,
  RetryPolicySchema,
  WorkloadSpecSchema,
} from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { parseDuration, toProtoDuration } from "./durations.ts";
import { UsageError } from "./failures.ts";
import { readBounded, readBoundedStream } from "./read-file.ts";
import { parsePairs } from "./requirements.ts";

/** The contract's bounds, so that a large file is refused before it is read. */
const maximumScriptBytes = 262_144;
const maximumValueBytes = 131_072;

type CommandInit = NonNullable<Exclude<MessageInitShape<typeof WorkloadSpecSchema>, { $typeName: string }>["command"]>;

interface CommandOptions {
  readonly words: readonly string[];
  /** A file, or `-` for stdin. */
  readonly script: string | undefined;
  readonly shell: string | undefined;
}

/** What is to be executed: words as they are, or a script. */
export async function toCommand({ words, script, shell }: CommandOptions, stdin: Readable): Promise<CommandInit> {
  if (script === undefined) {
    if (shell !== undefined) throw new UsageError("--shell goes with --script");
    if (words.length === 0)
      throw new UsageError("nothing is to be run: end with -- and a command, such as -- make test, or give --script");
    return { case: "argv", value: { arguments: [...words] } };
  }
  if (words.length > 0) throw new UsageError("--script and a command exclude each other");
  const text =
    script === "-"
      ? await readBoundedStream(stdin, "the script on stdin", maximumScriptBytes)
      : await readBounded(script, maximumScriptBytes);
  if (text === "") throw new UsageError(`the script ${script} is empty`);
  return { case: "script", value: { text, shell: shell ?? "" } };
}

interface EnvironmentOptions {
  /** `name=value` */
  readonly plain: readonly string[];
  /** Names in the caller's own environment. */
  readonly secret: readonly string[];
  /** `name=file` */
  readonly secretFiles: readonly string[];
}

type Variable = MessageInitShape<typeof EnvironmentVariableSchema>;

/** The declared environment; each name once. */
export async function readEnvironment(options: EnvironmentOptions, own: NodeJS.ProcessEnv): Promise<Variable[]> {
  const variables = new Map<string, Variable>();
  const add = (name: string, value: string, secret: boolean): void => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new UsageError(`"${name}" is no name of an environment variable`);
    if (variables.has(name)) throw new UsageError(`the environment variable ${name} is given twice`);
    variables.set(name, { name, value, secret });
  };
  for (const [name, value] of Object.entries(parsePairs("environment variable", options.plain)))
    add(name, value, false);
  for (const name of options.secret) {
    if (name.includes("="))
      throw new UsageError(
        "--secret-env takes a name only: the value comes from your environment, where nobody else sees it",
      );
    const value = own[name];
    if (value === undefined) throw new UsageError(`--secret-env ${name}: your environment has no ${name}`);
    add(name, value, true);
  }
  for (const [name, path] of Object.entries(parsePairs("secret file", options.secretFiles))) {
    add(name, (await readBounded(path, maximumValueBytes)).replace(/\r?\n$/, ""), true);
  }
  return [...variables.values()];
}

/** `retries` more tries when one of `reasons` ("lost", "failed") comes true. */
export function toRetryPolicy(
  retries: number | undefined,
  reasons: string | undefined,
): MessageInitShape<typeof RetryPolicySchema> | undefined {
  if (retries === undefined) {
    if (reasons !== undefined) throw new UsageError("--retry-on goes with --retries");
    return undefined;
  }
  const words = (reasons ?? "lost").split(",").map((word) => word.trim());
  const unknown = words.find((word) => word !== "lost" && word !== "failed");
  if (unknown !== undefined) throw new UsageError(`--retry-on "${unknown}": write lost, failed or lost,failed`);
  return { maximumTries: retries + 1, onLost: words.includes("lost"), onFailed: words.includes("failed") };
}

/** A duration, or `never`. */
export function toLossPolicy(text: string | undefined): MessageInitShape<typeof LossPolicySchema> | undefined {
  if (text === undefined) return undefined;
  if (text === "never") return { kind: { case: "never", value: true } };
  return { kind: { case: "after", value: toProtoDuration(parseDuration(text)) } };
}
