import type { Arguments, ArgumentValues, CommandShape, Options, OptionValues } from "./command-shape.ts";
import type { Context } from "./context.ts";

/** A command as the program calls it; `run` answers the exit code, nothing for 0. */
export interface Command extends CommandShape {
  readonly run: (
    context: Context,
    values: Readonly<Record<string, unknown>>,
    options: Readonly<Record<string, unknown>>,
  ) => Promise<number | undefined>;
}

/** Ties the declared arguments and options to the types that `run` sees. */
export function defineCommand<const A extends Arguments, const O extends Options>(
  command: CommandShape & {
    readonly arguments: A;
    readonly options: O;
    readonly run: (
      context: Context,
      values: ArgumentValues<A>,
      options: OptionValues<O>,
    ) => Promise<number | undefined>;
  },
): Command {
  const run = command.run as Command["run"];
  return { ...command, run };
}
