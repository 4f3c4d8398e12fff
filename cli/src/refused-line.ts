import type { CommanderError } from "commander";
import type { CommandShape } from "./command-shape.ts";
import { UsageError } from "./failures.ts";

const maximumGuesses = 3;

/** A command line that the parser does not take, and the words of the command or group that stopped it. */
export class RefusedLine extends Error {
  readonly path: readonly string[];
  readonly reason: CommanderError;

  constructor(path: readonly string[], reason: CommanderError) {
    super(reason.message);
    this.path = path;
    this.reason = reason;
  }
}

/** The parser's words as one line for a person, with the nearest line that it would take and where help is. */
export function toUsageError({ path, reason }: RefusedLine, commands: readonly CommandShape[]): UsageError {
  const [, told = "", nearest = ""] =
    /^(?:error: )?(.*?)(?:\n\(Did you mean (?:one of )?(.*)\?\))?$/s.exec(reason.message) ?? [];
  const message = unknownWord(path, reason, commands) ?? told;
  const line = ["agynctl", ...path].join(" ");
  const isCommand = reason.code === "commander.unknownCommand";
  const guesses = nearest === "" ? [] : nearest.split(", ").map((word) => (isCommand ? `${line} ${word}` : word));
  const word = /^unknown command '(.*)'$/s.exec(message)?.[1];
  const elsewhere = commands.filter(({ path: words }) => words.length > 1 && words.at(-1) === word);
  const lines = elsewhere.map(({ path: words }) => ["agynctl", ...words].join(" "));
  const meant = lines.length > 0 && lines.length <= maximumGuesses ? lines : guesses;
  const question = meant.length === 0 ? "" : `did you mean ${meant.join(" or ")}? `;
  return new UsageError(message, `${question}${line} --help shows how`);
}

/** What a command that is a group, too, takes for one argument too many is a word of the group that there is not. */
function unknownWord(
  path: readonly string[],
  reason: CommanderError,
  commands: readonly CommandShape[],
): string | undefined {
  const isWithin = (words: readonly string[]): boolean =>
    words.length > path.length && path.every((word, index) => word === words[index]);
  const [, word] = /^error: too many arguments for .* got \d+: ([^,]*?)(?:, .*)?\.$/s.exec(reason.message) ?? [];
  const isWord = word !== undefined && commands.some(({ path: words }) => isWithin(words));
  return isWord ? `unknown command '${word}'` : undefined;
}
