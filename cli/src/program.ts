import { Command as Program, InvalidArgumentError, Option as ProgramOption } from "commander";
import { clientVersion } from "./client-version.ts";
import { connectControlPlane, type ControlPlane } from "./client.ts";
import type { Command } from "./command.ts";
import { longFlag, type Option, type Options } from "./command-shape.ts";
import type { Context } from "./context.ts";
import { findCredentials, type Credentials } from "./credentials.ts";
import { toFailure } from "./errors.ts";
import { exitCodes, Failure } from "./failures.ts";
import { globalOptions, type GlobalOptions } from "./global-options.ts";
import { groupSummaries, programHelp } from "./help.ts";
import { RefusedLine, toUsageError } from "./refused-line.ts";
import { createOutput, safe, type OutputFormat } from "./output.ts";
import { hasColours, paint, write, type Terminal } from "./terminal.ts";

const defaultRequestTimeoutMs = 30_000;

/** Runs one command line (without the program's own name) and answers the exit code; nothing is thrown. */
export async function runProgram(
  commands: readonly Command[],
  argv: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const written: Promise<void>[] = [];
  let exitCode: number = exitCodes.ok;
  const program = createProgram(commands, terminal, written, async (command, values, options) => {
    exitCode = await runCommand({ command, values, options, commands, terminal });
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    exitCode = await reportParseError(error, commands, terminal);
  }
  await Promise.all(written);
  return exitCode;
}

/** The codes of a line that was answered with a text instead of being run; the last is a group without a command. */
const toldCodes: Readonly<Record<string, number>> = {
  "commander.helpDisplayed": exitCodes.ok,
  "commander.version": exitCodes.ok,
  "commander.help": exitCodes.usage,
};

async function reportParseError(error: unknown, commands: readonly Command[], terminal: Terminal): Promise<number> {
  const told = error instanceof RefusedLine ? toldCodes[error.reason.code] : undefined;
  if (told !== undefined) return told;
  const failure =
    error instanceof RefusedLine
      ? toUsageError(error, commands)
      : toFailure(error, { gateway: undefined, tokenSource: undefined });
  await reportFailure(failure, terminal);
  return failure.exitCode;
}

type Act = (command: Command, values: readonly unknown[], options: Readonly<Record<string, unknown>>) => Promise<void>;

/** The command tree as commander parses it. */
export function createProgram(
  commands: readonly Command[],
  terminal: Terminal,
  written: Promise<void>[],
  act: Act,
): Program {
  const program = new Program("agynctl");
  program.enablePositionalOptions().showSuggestionAfterError(true).helpCommand(false);
  program.version(`agynctl ${clientVersion()}`, "--version", "show agynctl's own version");
  refuseBy(program, []);
  program.configureOutput({
    writeOut: (text) => written.push(write(terminal.stdout, text)),
    writeErr: (text) => written.push(write(terminal.stderr, text)),
    outputError: () => undefined,
    getOutHelpWidth: () => terminal.stdout.columns ?? 100,
    getErrHelpWidth: () => terminal.stderr.columns ?? 100,
  });
  // On a narrow terminal too, words are not cut by its edge.
  program.configureHelp({ minWidthToWrap: 20 });
  program.description(programHelp.summary).addHelpText("after", programHelp.after);
  addOptions(program, globalOptions, "Global options:");
  for (const command of commands) {
    const group = command.path.slice(0, -1);
    const parent = group.reduce((at, word) => findOrAddGroup(at, word), program);
    refuseBy(parent, group);
    const leaf = parent.command(command.path.at(-1)!).description(command.summary);
    refuseBy(leaf, command.path);
    for (const [name, argument] of Object.entries(command.arguments))
      leaf.argument(argumentUsage(name, argument.kind), argument.help);
    // A command may be a group, too, as `queue` is: what stands behind a word of the group is that word's.
    leaf.enablePositionalOptions();
    leaf.passThroughOptions(command.passesOptionsThrough === true);
    addOptions(leaf, command.options);
    addOptions(leaf, globalOptions, "Global options:");
    leaf.addHelpText("after", `\nExamples:\n${command.examples.map((example) => `  ${example}`).join("\n")}`);
    leaf.action(async (...received: unknown[]) => {
      const values = received.slice(0, Object.keys(command.arguments).length);
      await act(command, values, { ...program.opts(), ...leaf.opts() });
    });
  }
  return program;
}

/** What stops the parser is thrown with the place where it stopped; it is told in one line later. */
function refuseBy(program: Program, path: readonly string[]): void {
  program.exitOverride((error) => {
    throw new RefusedLine(path, error);
  });
}

function findOrAddGroup(parent: Program, word: string): Program {
  const found = parent.commands.find((command) => command.name() === word);
  return (
    found ??
    parent
      .command(word)
      .description(groupSummaries[word] ?? "")
      .helpCommand(false)
  );
}

function argumentUsage(name: string, kind: "required" | "optional" | "rest"): string {
  if (kind === "required") return `<${name}>`;
  return kind === "rest" ? `[${name}...]` : `[${name}]`;
}

function addOptions(program: Program, options: Options, group?: string): void {
  for (const [key, option] of Object.entries(options)) {
    const added = toProgramOption(key, option);
    program.addOption(group === undefined ? added : added.helpGroup(group));
  }
}

function toProgramOption(key: string, option: Option): ProgramOption {
  const flags = option.short === undefined ? longFlag(key) : `-${option.short}, ${longFlag(key)}`;
  const added = new ProgramOption(option.kind === "flag" ? flags : `${flags} <${option.placeholder}>`, option.help);
  switch (option.kind) {
    case "flag":
      return added;
    case "text":
      return option.choices === undefined ? added : added.choices(option.choices);
    case "list":
      return added.argParser((value: string, previous: readonly string[] | undefined) => {
        checkChoice(value, option.choices);
        return [...(previous ?? []), value];
      });
    case "parsed":
      return added.argParser((value: string) => parseValue(value, option.parse));
  }
}

function checkChoice(value: string, choices: readonly string[] | undefined): void {
  if (choices !== undefined && !choices.includes(value))
    throw new InvalidArgumentError(`Allowed choices are ${choices.join(", ")}.`);
}

function parseValue(value: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(value);
  } catch (error) {
    throw error instanceof Failure ? new InvalidArgumentError(error.message) : error;
  }
}

interface Invocation {
  readonly command: Command;
  readonly values: readonly unknown[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly commands: readonly Command[];
  readonly terminal: Terminal;
}

async function runCommand({ command, values, options, commands, terminal }: Invocation): Promise<number> {
  const given = options as unknown as GlobalOptions;
  let credentials: Credentials | undefined;
  let controlPlane: ControlPlane | undefined;
  let hasReached = false;
  const context: Context = {
    terminal,
    commands,
    output: createOutput(terminal, (given.output ?? "table") as OutputFormat),
    organization: given.org ?? "",
    credentials: () => (credentials ??= findCredentials(credentialOptions(given), terminal.environment, terminal.cwd)),
    showHelp: (words) => runProgram(commands, toHelpLine(commands, words), terminal),
    hasReached: () => hasReached,
    async controlPlane() {
      const requestTimeoutMs = given.requestTimeout ?? defaultRequestTimeoutMs;
      const onAnswer = (): boolean => (hasReached = true);
      const connecting = { requestTimeoutMs, signal: terminal.signal, onAnswer };
      return (controlPlane ??= await connectControlPlane(context.credentials(), connecting));
    },
  };
  try {
    const names = Object.keys(command.arguments);
    const named = Object.fromEntries(names.map((name, index) => [name, values[index]]));
    return (await command.run(context, named, withDefaults(command.options, options))) ?? exitCodes.ok;
  } catch (error) {
    if (terminal.signal.aborted) return exitCodes.interrupted;
    const failure = toFailure(error, { gateway: credentials?.gateway, tokenSource: credentials?.tokenSource });
    await reportFailure(failure, terminal);
    return failure.exitCode;
  } finally {
    controlPlane?.close();
  }
}

/** A command line that shows the help of what the words name; where they name nothing, one that is refused for it. */
function toHelpLine(commands: readonly Command[], words: readonly string[]): readonly string[] {
  const isKnown = (length: number): boolean =>
    commands.some(({ path }) => words.slice(0, length).every((word, index) => word === path[index]));
  const isCommand = (length: number): boolean =>
    commands.some(({ path }) => path.length === length && path.every((word, index) => word === words[index]));
  const known = words.findIndex((_word, index) => !isKnown(index + 1));
  const length = known === -1 ? words.length : known;
  return length === words.length || isCommand(length)
    ? [...words.slice(0, length), "--help"]
    : words.slice(0, length + 1);
}

function credentialOptions(given: GlobalOptions): Parameters<typeof findCredentials>[0] {
  return {
    gateway: given.gateway,
    caFile: given.caFile,
    tokenFile: given.accessTokenFile,
    allowCleartext: given.allowCleartext === true,
  };
}

function withDefaults(declared: Options, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const value = (key: string, option: Option): unknown => {
    if (option.kind === "flag") return given[key] === true;
    return option.kind === "list" ? (given[key] ?? []) : given[key];
  };
  return Object.fromEntries(Object.entries(declared).map(([key, option]) => [key, value(key, option)]));
}

async function reportFailure(failure: Failure, terminal: Terminal): Promise<void> {
  const isColoured = hasColours(terminal.stderr, terminal.environment);
  const label = isColoured ? paint("error:", "bad") : "error:";
  const hint = failure.hint === undefined ? "" : ` (${safe(failure.hint)})`;
  await write(terminal.stderr, `${label} ${safe(failure.message)}${hint}\n`);
}
