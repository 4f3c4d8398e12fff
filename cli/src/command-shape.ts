/** An option of a command; its long flag is its key in kebab-case. */
export type Option = OptionCommon &
  (
    | { readonly kind: "flag" }
    | { readonly kind: "text"; readonly placeholder: string; readonly choices?: readonly string[] }
    | { readonly kind: "list"; readonly placeholder: string; readonly choices?: readonly string[] }
    | { readonly kind: "parsed"; readonly placeholder: string; readonly parse: (text: string) => unknown }
  );

interface OptionCommon {
  readonly help: string;
  /** One letter. */
  readonly short?: string;
}

/** An argument of a command, in the order of declaration. */
export interface Argument {
  readonly kind: "required" | "optional" | "rest";
  readonly help: string;
}

export type Options = Readonly<Record<string, Option>>;
export type Arguments = Readonly<Record<string, Argument>>;

type OptionValue<O extends Option> = O extends { kind: "flag" }
  ? boolean
  : O extends { kind: "list" }
    ? readonly string[]
    : O extends { kind: "parsed"; parse: (text: string) => infer Value }
      ? Value | undefined
      : string | undefined;

type ArgumentValue<A extends Argument> = A["kind"] extends "required"
  ? string
  : A["kind"] extends "rest"
    ? readonly string[]
    : string | undefined;

export type OptionValues<O extends Options> = { readonly [Key in keyof O]: OptionValue<O[Key]> };
export type ArgumentValues<A extends Arguments> = { readonly [Key in keyof A]: ArgumentValue<A[Key]> };

/** What everything but a command's own `run` needs of it. */
export interface CommandShape {
  /** The words that call it, such as `["runners", "list"]`. */
  readonly path: readonly string[];
  /** One line, starting with a verb. */
  readonly summary: string;
  readonly arguments: Arguments;
  readonly options: Options;
  /** Whole command lines. */
  readonly examples: readonly string[];
  /** Options after the first argument belong to the argument. */
  readonly passesOptionsThrough?: boolean;
}

/** `--retry-on` of `retryOn`. */
export function longFlag(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
