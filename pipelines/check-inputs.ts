import { limits, limitText } from "./limits.ts";
import type { InputDefinition, InputType, Value } from "./pipeline.ts";
import { quote, suggest, type Report } from "./problems.ts";
import { byteLength, characterFault } from "./scalar-shapes.ts";
import type { Entry } from "./shapes.ts";
import type { InputWords } from "./words.ts";

/** Refuses defaults and choices that do not go with an input's type. */
export function checkInputs(inputs: readonly Entry<InputWords>[], report: Report): void {
  for (const { value: words, place } of inputs) {
    if (words === undefined) continue;
    const type = typeOf(words);
    if (type === "choice" && words.choices === undefined && !report.hasProblemAt(place.path))
      report.add(place, "a choice without choices", "list them: choices: [one, two]");
    if (type !== "choice" && words.choices !== undefined)
      report.add(words.choices.node, `choices of an input of type ${type}`, "they go with type: choice");
    if (words.required?.value === true && words.default !== undefined)
      report.add(words.required.node, "an input with a default is never missing", "leave `required` or `default` out");
    if (words.default !== undefined) checkDefault(words, words.default, report);
  }
}

function checkDefault(words: InputWords, { value, node }: NonNullable<InputWords["default"]>, report: Report): void {
  const type = typeOf(words);
  const isText = type === "string" || type === "choice";
  if (isText && typeof value !== "string" && node.kind === "scalar") {
    report.add(node, `the default ${node.source} is no text`, `put it in quotes: "${node.source}"`);
    return;
  }
  const fault = isText ? inputFault(toInput("", words), String(value)) : typeFault(type, value);
  if (fault !== undefined) report.add(node, fault.message, fault.hint);
}

function typeFault(type: InputType, value: Value): InputFault | undefined {
  if (typeof value === type && (typeof value !== "number" || Number.isFinite(value))) return undefined;
  return { message: `the default ${quote(String(value))} is no ${type}` };
}

/** Without a type, an input with choices is one of them. */
function typeOf({ type, choices }: InputWords): InputType {
  return type?.value ?? (choices === undefined ? "string" : "choice");
}

/** From words without problems; without a type it is a choice where there are choices, else a string. */
export function toInput(name: string, words: InputWords): InputDefinition {
  return {
    name,
    type: typeOf(words),
    description: words.description ?? "",
    required: words.required?.value ?? false,
    default: words.default?.value ?? null,
    choices: words.choices?.value ?? [],
  };
}

/** What is wrong with a text given for an input, and what was meant. */
export interface InputFault {
  readonly message: string;
  readonly hint?: string;
}

/** Why `text` is no value of an input. */
export function inputFault({ type, choices }: InputDefinition, text: string): InputFault | undefined {
  if (byteLength(text) > limits.inputValue_bytes.value)
    return { message: `too long: ${limitText("inputValue_bytes")}` };
  const fault = characterFault(text, true);
  if (fault !== undefined) return { message: fault };
  switch (type) {
    case "string":
      return undefined;
    case "number":
      return isDecimal(text) ? undefined : { message: `${quote(text)} is no number`, hint: "write it like 12 or 0.5" };
    case "boolean":
      return text === "true" || text === "false" ? undefined : { message: `${quote(text)} is neither true nor false` };
    case "choice":
      return choices.includes(text)
        ? undefined
        : { message: `${quote(text)} is not among the choices`, hint: suggest(text, choices)() };
  }
}

function isDecimal(text: string): boolean {
  return /^-?\d{1,15}(\.\d{1,15})?$/.test(text);
}
